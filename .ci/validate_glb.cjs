// Checks GLB files with Khronos' own validator: node validate_glb.cjs FOLDER_OF_NODE_MODULES FILE...
// Ends with 1 where a file has an error or a warning; hints and remarks (such as "not a power of two") are no faults.
// A file that was made from another, kept beside it as NAME.before.glb, may have the kinds of warnings that that one has.
const fs = require("fs");
const path = require("path");

const [modules, ...files] = process.argv.slice(2);
const validator = require(path.join(path.resolve(modules), "gltf-validator"));

async function faultsOf(file) {
  const report = await validator.validateBytes(new Uint8Array(fs.readFileSync(file)), { maxIssues: 1000 });
  return report.issues.messages.filter((message) => message.severity <= 1);
}

async function check(file) {
  const before = file.replace(/\.glb$/, ".before.glb");
  const known = fs.existsSync(before) ? await faultsOf(before) : [];
  const codes = new Set(known.filter((fault) => fault.severity === 1).map((fault) => fault.code));
  const faults = (await faultsOf(file)).filter((fault) => !codes.has(fault.code));
  for (const fault of faults) console.error(`${file}: ${fault.code}: ${fault.message} (${fault.pointer ?? ""})`);
  return faults.length;
}

Promise.all(files.filter((file) => !file.endsWith(".before.glb")).map(check)).then((counts) => {
  const total = counts.reduce((sum, count) => sum + count, 0);
  console.log(`glTF validator: ${files.length} files, ${total} errors and warnings`);
  process.exit(total > 0 || files.length === 0 ? 1 : 0);
});
