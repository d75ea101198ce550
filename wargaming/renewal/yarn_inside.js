// Runs in the sandbox: renews a yarn.lock of version 1 with Yarn itself, asking for packuments over a Unix socket.
// In by standard input: {name, targets, manifest, head, entries: [{text, keys, name, version, wishes}]}.
// Out as the last line: {base, final, ranges, resolutions} or {error}, zlib and base64. Both locks are texts.
"use strict";
const fs = require("fs");
const path = require("path");
const { spawn } = require("child_process");
const {
  Refused, answer, checkTargets, moved, order, rangeOf, semver, show, smallestThatAdmits, tools, vulnerable,
} = require("./registry_inside.js");

const SECTIONS = ["dependencies", "devDependencies", "optionalDependencies", "peerDependencies"];
const NOTHING = "async () => {}";
// Yarn's own hooks: with nothing fetched, linked or built, what is left of an installation is resolving and writing the lock.
const RUN = `
  global.experimentalYarnHooks = { fetchStep: ${NOTHING}, linkStep: ${NOTHING}, pnpStep: ${NOTHING}, buildStep: ${NOTHING} };
  const [place] = process.argv.splice(2, 1);
  const cli = require(place);
  if (!cli.autoRun) cli.default().catch((error) => { console.error(error.message); process.exitCode = 1; });
`;

let registry = "";
let runs = 0;

async function yarn(manifest, lock) {
  const folder = `${process.cwd()}/run-${(runs += 1)}`;
  fs.mkdirSync(`${folder}/project`, { recursive: true });
  fs.writeFileSync(`${folder}/project/package.json`, JSON.stringify(manifest, null, 2));
  fs.writeFileSync(`${folder}/project/yarn.lock`, lock);
  fs.writeFileSync(`${folder}/run.js`, RUN);
  const flags = [
    "--ignore-scripts", "--ignore-engines", "--ignore-platform", "--non-interactive", "--no-progress", "--no-default-rc",
    "--no-bin-links", "--no-node-version-check", "--silent", `--registry=${registry}`, `--cache-folder=${folder}/cache`,
  ];
  const { HOME, PATH, TMPDIR } = process.env;
  const cli = path.join(tools, "node_modules", "yarn", "lib", "cli.js");
  const child = spawn(process.execPath, [`${folder}/run.js`, cli, "install", ...flags], {
    cwd: `${folder}/project`, env: { HOME, PATH, TMPDIR, CI: "1" }, stdio: ["ignore", "pipe", "pipe"],
  });
  let said = "";
  for (const stream of [child.stdout, child.stderr]) stream.on("data", (chunk) => (said = (said + chunk).slice(0, 20000)));
  const code = await new Promise((resolve, reject) => child.on("error", reject).on("close", resolve));
  if (code !== 0) throw new Refused(`yarn: ${said}`);
  const found = fs.readFileSync(`${folder}/project/yarn.lock`, "utf8");
  fs.rmSync(folder, { recursive: true, force: true });
  return found;
}

const split = (key) => [key.slice(0, key.indexOf("@", 1)), key.slice(key.indexOf("@", 1) + 1)];
const text = (entries) => order.head + entries.map((entry) => entry.text).join("\n\n") + "\n";
const isAffected = (entry) => entry.name === order.name && vulnerable.has(entry.version);

function widened(manifest, affected) {
  // The project's own wishes that do not admit the target.
  const ranges = [];
  for (const section of SECTIONS) {
    for (const [key, wish] of Object.entries(manifest[section] || {})) {
      const entry = affected.find((one) => one.keys.includes(`${key}@${wish}`));
      const target = entry && order.targets[entry.version];
      if (entry && !semver.satisfies(target, rangeOf(wish))) ranges.push([section, key, moved(section, key, wish, target)]);
    }
  }
  return ranges;
}

async function parentsThatAdmit(affected) {
  // For each package that holds an affected version down: the smallest version within reach that does not, else a resolution.
  const parents = new Map(); // entry -> version
  const resolutions = new Map();
  for (const entry of affected) {
    const target = order.targets[entry.version];
    for (const parent of order.entries) {
      for (const [key, wish] of Object.entries(parent.wishes)) {
        if (!entry.keys.includes(`${key}@${wish}`) || semver.satisfies(target, rangeOf(wish))) continue;
        const asked = parent.keys.map((one) => rangeOf(split(one)[1]));
        const candidate = await smallestThatAdmits(parent.name, parent.version, key, target, asked);
        if (candidate === undefined) resolutions.set(`**/${split(parent.keys[0])[0]}/${key}`, target);
        else if (!parents.has(parent) || semver.gt(candidate, parents.get(parent))) parents.set(parent, candidate);
      }
    }
  }
  return { parents, resolutions };
}

async function renew() {
  const manifest = JSON.parse(order.manifest);
  const base = await yarn(manifest, text(order.entries));
  const affected = order.entries.filter(isAffected);
  if (!affected.length) throw new Refused(`no ${order.name} at a version to be left`);
  await checkTargets();
  const ranges = widened(manifest, affected);
  for (const [section, key, wish] of ranges) manifest[section][key] = wish;
  const { parents, resolutions } = await parentsThatAdmit(affected);
  // What the project resolves to a version that is to be left goes to its target.
  for (const [pattern, wish] of Object.entries(manifest.resolutions || {})) {
    if (vulnerable.has(wish) && (pattern === order.name || pattern.endsWith(`/${order.name}`))) {
      resolutions.set(pattern, order.targets[wish]);
    }
  }
  if (resolutions.size) manifest.resolutions = resolved(manifest.resolutions || {}, resolutions);
  const present = (name) => order.entries.filter((entry) => entry.name === name).map((entry) => entry.version);
  show(order.name, [...present(order.name).filter((version) => !vulnerable.has(version)), ...Object.values(order.targets)]);
  for (const [parent, version] of parents) show(parent.name, [...present(parent.name), version]);
  const final = await yarn(manifest, text(order.entries.filter((entry) => !isAffected(entry) && !parents.has(entry))));
  return { base, final, ranges, resolutions: [...resolutions] };
}

function resolved(before, wanted) {
  for (const [pattern, target] of wanted) {
    const known = Object.hasOwn(before, pattern) ? before[pattern] : target;
    if (known !== target && !vulnerable.has(known)) throw new Refused(`package.json resolves ${pattern} to ${known} already`);
  }
  return { ...before, ...Object.fromEntries(wanted) };
}

answer((address) => {
  registry = address;
  return renew();
});
