// Runs in the sandbox beside a resolver of npm's files: a registry on the loopback whose packuments are asked for over a Unix socket.
// Some versions of a package can be shown only, so that "the highest that fits" is the version to take.
"use strict";
const fs = require("fs");
const http = require("http");
const path = require("path");
const zlib = require("zlib");

const [tools, socketPath] = process.argv.slice(2);
const semver = require(path.join(tools, "node_modules", "semver"));
const order = JSON.parse(fs.readFileSync(0, "utf8"));
const vulnerable = new Set(Object.keys(order.targets));
const known = (table, key) => (table && Object.hasOwn(table, key) ? table[key] : undefined);

class Refused extends Error {}

const documents = new Map();
const allowed = new Map(); // name -> versions that are shown

function ask(url) {
  if (!documents.has(url)) {
    documents.set(
      url,
      new Promise((resolve, reject) => {
        const request = http.request({ socketPath, path: url, agent: false }, (answer) => {
          const chunks = [];
          answer.on("data", (chunk) => chunks.push(chunk));
          answer.on("end", () => resolve({ status: answer.statusCode, body: Buffer.concat(chunks) }));
          answer.on("error", reject);
        });
        request.on("error", reject);
        request.end();
      }),
    );
  }
  return documents.get(url);
}

async function packument(name) {
  const { status, body } = await ask("/" + name.replace("/", "%2f"));
  return status === 200 ? JSON.parse(body.toString()) : undefined;
}

async function released(name) {
  return ((await packument(name)) || {}).versions || {};
}

function show(name, versions) {
  allowed.set(name, new Set([...(allowed.get(name) || []), ...versions]));
}

async function serve(request, response) {
  try {
    let { status, body } = await ask(request.url);
    const versions = allowed.get(decodeURIComponent(request.url.slice(1)));
    if (status === 200 && versions) {
      const whole = JSON.parse(body.toString());
      whole.versions = Object.fromEntries(Object.entries(whole.versions).filter(([version]) => versions.has(version)));
      const tags = Object.entries(whole["dist-tags"]).filter(([, version]) => versions.has(version));
      const stable = semver.rsort(Object.keys(whole.versions).filter((one) => !semver.prerelease(one)));
      const highest = stable[0] || semver.rsort(Object.keys(whole.versions))[0];
      whole["dist-tags"] = { ...Object.fromEntries(tags), latest: highest };
      body = Buffer.from(JSON.stringify(whole));
    }
    response.writeHead(status, { "content-type": "application/json" });
    response.end(body);
  } catch (error) {
    response.writeHead(500);
    response.end();
  }
}

// The range of a wish, without the name an alias stands for.
const rangeOf = (wish) => (wish.startsWith("npm:") ? wish.slice(wish.lastIndexOf("@") + 1) : wish);

function moved(section, key, wish, target) {
  // A wish of the project's own at the target, with the operator it had.
  const range = rangeOf(wish);
  const simple = /^\s*([\^~]|>=|=)?\s*v?\d+(?:\.\d+){0,2}(?:-[0-9A-Za-z.-]+)?\s*$/.exec(range);
  if (!simple) throw new Refused(`${section} asks for ${key} ${wish}, which does not admit ${target}`);
  return wish.slice(0, wish.length - range.length) + (simple[1] || "") + target;
}

async function smallestThatAdmits(parent, at, key, target, asked) {
  // The smallest version of a parent above the one that stands which lets the package go to its target, or undefined.
  const versions = await released(parent);
  const admits = (version) => {
    const wish = known({ ...versions[version].dependencies, ...versions[version].optionalDependencies }, key);
    return wish === undefined || semver.satisfies(target, rangeOf(wish));
  };
  return semver
    .sort(Object.keys(versions).filter((one) => semver.valid(one)))
    .find(
      (one) =>
        semver.gt(one, at) &&
        !versions[one].deprecated &&
        (!semver.prerelease(one) || semver.prerelease(at)) &&
        asked.every((wish) => semver.satisfies(one, wish)) &&
        admits(one),
    );
}

async function checkTargets() {
  const versions = await released(order.name);
  const missing = Object.values(order.targets).find((target) => !Object.hasOwn(versions, target));
  if (missing) throw new Refused(`the registry has no ${order.name} ${missing}`);
}

// Starts the registry, lets `renew(address)` work and says what came of it as the one line on standard output.
function answer(renew) {
  const server = http.createServer(serve).listen(0, "127.0.0.1", async () => {
    let result;
    try {
      result = await renew(`http://127.0.0.1:${server.address().port}/`);
    } catch (error) {
      result = { error: error instanceof Refused ? error.message : `the lock file could not be worked on: ${error.message}` };
    }
    process.stdout.write("\n" + zlib.deflateSync(JSON.stringify(result)).toString("base64") + "\n", () => process.exit(0));
  });
}

module.exports = {
  Refused, answer, checkTargets, known, moved, order, rangeOf, semver, show, smallestThatAdmits, tools, vulnerable,
};
