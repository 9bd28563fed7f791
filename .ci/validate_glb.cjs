// Checks GLB files with Khronos' own validator: node validate_glb.cjs FOLDER_OF_NODE_MODULES FILE...
// Ends with 1 where a file has an error or a warning; hints and remarks (such as "not a power of two") are no faults.
const fs = require("fs");
const path = require("path");

const [modules, ...files] = process.argv.slice(2);
const validator = require(path.join(path.resolve(modules), "gltf-validator"));

async function check(file) {
  const report = await validator.validateBytes(new Uint8Array(fs.readFileSync(file)), { maxIssues: 100 });
  const faults = report.issues.messages.filter((message) => message.severity <= 1);
  for (const fault of faults) console.error(`${file}: ${fault.code}: ${fault.message} (${fault.pointer ?? ""})`);
  return report.issues.numErrors + report.issues.numWarnings;
}

Promise.all(files.map(check)).then((counts) => {
  const total = counts.reduce((sum, count) => sum + count, 0);
  console.log(`glTF validator: ${files.length} files, ${total} errors and warnings`);
  process.exit(total > 0 || files.length === 0 ? 1 : 0);
});
