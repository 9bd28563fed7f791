#!/usr/bin/env bash
# Makes viewer.min.js from viewer.js and three.js again; needs npm and its registry. The result is kept in the repository,
# so that nobody needs this to write a report.
set -euo pipefail
here="$(cd "$(dirname "$0")" && pwd)"
work="$(mktemp -d)"
trap 'rm -rf "$work"' EXIT
cd "$work"
npm init -y >/dev/null
npm install --silent --save-exact three@0.187.0 esbuild@0.28.2
cp "$here/viewer.js" .
npx esbuild viewer.js --bundle --minify --format=iife --target=es2020 --legal-comments=inline --charset=ascii \
    --outfile="$here/viewer.min.js"
cp node_modules/three/LICENSE "$here/LICENSE-three.txt"
