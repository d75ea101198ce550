// Runs in the sandbox: renews a package-lock.json with npm itself, asking for packuments over a Unix socket.
// In by standard input: {name, targets, manifest, lock, lockName, lockVersion, resolved}.
// Out as the last line: {base (null: the lock as it came in), final, ranges, overrides} or {error}, zlib and base64, since locks are large.
"use strict";
const fs = require("fs");
const path = require("path");
const { spawn } = require("child_process");
const {
  Refused, answer, checkTargets, known, moved, order, rangeOf, semver, show, smallestThatAdmits, tools, vulnerable,
} = require("./registry_inside.js");

let registry = "";

// --- npm ------------------------------------------------------------------------------------------------------

let runs = 0;

async function npm(words, manifest, lock) {
  const folder = `${process.cwd()}/run-${(runs += 1)}`;
  fs.mkdirSync(`${folder}/project`, { recursive: true });
  fs.writeFileSync(`${folder}/project/package.json`, JSON.stringify(manifest, null, 2));
  fs.writeFileSync(`${folder}/project/${order.lockName}`, JSON.stringify(lock, null, 2));
  const flags = [
    "--package-lock-only", "--ignore-scripts", "--no-audit", "--no-fund", "--no-update-notifier", "--loglevel=error",
    "--no-progress", "--fetch-retries=0", `--registry=${registry}`, `--cache=${folder}/cache`, `--userconfig=${folder}/user`,
    `--globalconfig=${folder}/global`, `--lockfile-version=${order.lockVersion}`, "--replace-registry-host=never",
    `--omit-lockfile-registry-resolved=${!order.resolved}`, "--maxsockets=8", "--logs-max=0",
  ];
  const cli = path.join(tools, "bin", "npm-cli.js");
  const { HOME, PATH, TMPDIR } = process.env;
  const child = spawn(process.execPath, [cli, ...words, ...flags], {
    cwd: `${folder}/project`, env: { HOME, PATH, TMPDIR }, stdio: ["ignore", "ignore", "pipe"],
  });
  let said = "";
  child.stderr.on("data", (chunk) => (said = (said + chunk).slice(0, 20000)));
  const code = await new Promise((resolve, reject) => child.on("error", reject).on("close", resolve));
  if (code !== 0) throw new Refused(`npm: ${said}`);
  const found = JSON.parse(fs.readFileSync(`${folder}/project/${order.lockName}`, "utf8"));
  fs.rmSync(folder, { recursive: true, force: true });
  return found;
}

// --- what a lock says -----------------------------------------------------------------------------------------

function places(lock, manifest) {
  // place -> {name, version, wishes}; of every version of the format
  const found = new Map([["", { name: "", version: "", wishes: wishes(manifest, true) }]]);
  if (lock.packages) {
    for (const [place, entry] of Object.entries(lock.packages)) {
      if (place) found.set(place, { name: entry.name || last(place), version: entry.version, wishes: wishes(entry), entry });
    }
    return found;
  }
  const waiting = [["", lock.dependencies || {}]];
  while (waiting.length) {
    const [above, dependencies] = waiting.pop();
    for (const [key, entry] of Object.entries(dependencies)) {
      const place = `${above}node_modules/${key}`;
      const alias = /^npm:(.+)@([^@]+)$/.exec(entry.version);
      const [name, version] = alias ? [alias[1], alias[2]] : [key, entry.version];
      found.set(place, { name, version, wishes: { ...(entry.requires || {}) }, entry });
      if (entry.dependencies) waiting.push([`${place}/`, entry.dependencies]);
    }
  }
  return found;
}

const last = (place) => place.slice(place.lastIndexOf("node_modules/") + "node_modules/".length);
const wishes = (entry, root) => ({
  ...(entry.peerDependencies || {}), ...((root && entry.devDependencies) || {}), ...(entry.dependencies || {}),
  ...(entry.optionalDependencies || {}),
});

function meant(tree, place, key) {
  for (let at = place; ; ) {
    const candidate = at ? `${at}/node_modules/${key}` : `node_modules/${key}`;
    if (tree.has(candidate)) return candidate;
    if (!at) return undefined;
    const cut = at.lastIndexOf("/node_modules/");
    at = cut === -1 ? "" : at.slice(0, cut);
  }
}

const affected = (tree) =>
  [...tree].filter(([, one]) => one.name === order.name && vulnerable.has(one.version)).map(([place]) => place);

function askedBy(tree, wanted) {
  // [place, range] of everything whose wish means the place
  const found = [];
  for (const [place, one] of tree) {
    for (const [key, wish] of Object.entries(one.wishes)) {
      if (key === last(wanted) && meant(tree, place, key) === wanted) found.push([place, rangeOf(wish)]);
    }
  }
  return found;
}

// --- the steps ------------------------------------------------------------------------------------------------

function widened(manifest, tree) {
  // The project's own wishes that do not admit the target, each with the operator it had.
  const ranges = [];
  for (const section of ["dependencies", "devDependencies", "optionalDependencies", "peerDependencies"]) {
    for (const [key, wish] of Object.entries(manifest[section] || {})) {
      const one = tree.get(`node_modules/${key}`);
      if (!one || one.name !== order.name || !vulnerable.has(one.version)) continue;
      const target = order.targets[one.version];
      if (!semver.satisfies(target, rangeOf(wish))) ranges.push([section, key, moved(section, key, wish, target)]);
    }
  }
  return ranges;
}

async function parentsThatAdmit(tree) {
  // For each package that holds an affected version down: the smallest version within reach that does not, else an override.
  const overrides = [];
  const parents = new Set();
  for (const place of affected(tree)) {
    const target = order.targets[tree.get(place).version];
    for (const [by, range] of askedBy(tree, place)) {
      if (semver.satisfies(target, range)) continue;
      if (by === "") throw new Refused(`the project itself asks for ${order.name} ${range}`);
      const parent = tree.get(by);
      const asked = askedBy(tree, by).map(([, wish]) => wish);
      const candidate = await smallestThatAdmits(parent.name, parent.version, last(place), target, asked);
      if (candidate === undefined) {
        overrides.push([parent.name, order.name, target]);
      } else {
        see(tree, parent.name, [candidate]);
      }
      parents.add(last(by));
    }
  }
  return { overrides, parents };
}

function see(tree, name, more) {
  const present = [...tree.values()].filter((one) => one.name === name).map((one) => one.version);
  show(name, [...present, ...more]);
}

function overridden(manifest, overrides) {
  const found = { ...(manifest.overrides || {}) };
  for (const [parent, name, target] of overrides) {
    const before = known(found, parent);
    if (before !== undefined && (typeof before !== "object" || (known(before, name) && before[name] !== target && !vulnerable.has(before[name])))) {
      throw new Refused(`package.json overrides ${parent} already`);
    }
    found[parent] = { ...(before || {}), [name]: target };
  }
  return { ...manifest, overrides: found };
}

async function renew() {
  const lock = JSON.parse(order.lock);
  let manifest = JSON.parse(order.manifest);
  const base = await npm(["install"], manifest, lock);
  let tree = places(base, manifest);
  const start = affected(tree);
  if (!start.length) throw new Refused(`no ${order.name} at a version to be left`);
  const bundled = start.find((place) => tree.get(place).entry.inBundle || tree.get(place).entry.bundled);
  if (bundled) throw new Refused(`${bundled} is bundled inside another package`);
  const ranges = widened(manifest, tree);
  manifest = JSON.parse(order.manifest);
  for (const [section, key, wish] of ranges) manifest[section][key] = wish;
  await checkTargets();
  see(tree, order.name, Object.values(order.targets));
  const names = new Set(start.map(last));
  let final = await npm(["update", ...names], manifest, base);
  tree = places(final, manifest);
  let overrides = [];
  if (affected(tree).length) {
    const step = await parentsThatAdmit(tree);
    overrides = step.overrides;
    if (overrides.length && order.lockVersion === 1) {
      throw new Refused(`${overrides[0][0]} holds ${order.name} down, and this version of the lock file knows no overrides`);
    }
    if (overrides.length) manifest = overridden(manifest, overrides);
    final = await npm(["update", ...names, ...step.parents], manifest, final);
    tree = places(final, manifest);
  }
  const left = affected(tree);
  if (left.length) throw new Refused(`${left.join(", ")} cannot be moved: ${askedBy(tree, left[0]).join("; ")}`);
  // Nothing for what is as it came in: the answer is bounded, and hashes do not grow smaller by packing.
  return { base: JSON.stringify(base) === JSON.stringify(lock) ? null : base, final, ranges, overrides };
}

answer((address) => {
  registry = address;
  return renew();
});
