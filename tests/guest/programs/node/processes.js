// child_process: pipes, exit codes and signals, IPC by fork, detached groups, extra descriptors, synchronous forms.
"use strict";
const { spawn, exec, execFile, execFileSync, spawnSync, fork } = require("child_process");
const fs = require("fs");
const { once } = require("events");
const { promisify } = require("util");

const say = (...words) => console.log(...words);
async function run(...args) {
  const child = spawn(...args);
  const seen = { stdout: "", stderr: "" };
  for (const name of ["stdout", "stderr"]) child[name]?.setEncoding("utf8").on("data", (text) => (seen[name] += text));
  const [status, signal] = await once(child, "close");
  return [status, signal, seen.stdout, seen.stderr];
}

(async () => {
  say(await run("sh", ["-c", "echo out; echo err >&2; exit 7"]));
  say(await run("sh", ["-c", "kill -TERM $$"]));
  say(await run("no-such-program").catch((e) => [e.code, e.syscall]));
  say(await run("sh", ["-c", "echo $A $PWD"], { env: { A: "1" }, cwd: "/usr" }));
  say((await promisify(exec)("printf '%s ' a b; exit 0")).stdout, (await promisify(execFile)("seq", ["3"])).stdout);
  await promisify(exec)("exit 3").catch((e) => say("failed", e.code, e.killed));
  await promisify(exec)("sleep 60", { timeout: 50 }).catch((e) => say("timed out", e.code, e.killed, e.signal));
  say(spawnSync("cat", { input: "given\n" }).stdout.toString(), spawnSync("sleep", ["60"], { timeout: 30 }).signal);
  say(execFileSync("sh", ["-c", "wc -c"], { input: Buffer.alloc(300000) }).toString().trim());

  // A filter with much data both ways, written under back-pressure.
  const cat = spawn("tr", ["a", "b"]);
  let got = 0;
  cat.stdout.on("data", (chunk) => (got += chunk.filter((byte) => byte === 98).length));
  for (let i = 0; i < 40; i++) if (!cat.stdin.write("a".repeat(50000))) await once(cat.stdin, "drain");
  cat.stdin.end();
  say("filter", await once(cat, "close"), got);

  // A pipeline, and 20 at once.
  const one = spawn("seq", ["10000"], { stdio: ["ignore", "pipe", "inherit"] });
  const two = spawn("tail", ["-1"], { stdio: [one.stdout, "pipe", "inherit"] });
  two.stdout.on("data", (text) => say("pipeline", text.toString().trim()));
  await once(two, "close");
  const many = await Promise.all([...Array(20).keys()].map((i) => run("sh", ["-c", `echo ${i}; exit ${i}`])));
  say("many", many.map(([status, , out]) => [status, out.trim()].join("=")).join(" "));

  // Descriptors: a file, and a pipe as number 3.
  const log = fs.openSync("log", "w");
  const extra = spawn("sh", ["-c", "echo to file; echo on three >&3; cat <&4"], { stdio: ["ignore", log, log, "pipe", "pipe"] });
  extra.stdio[3].on("data", (text) => say("three:", text.toString().trim()));
  extra.stdio[4].end("through four\n");
  await once(extra, "close");
  say("log", fs.readFileSync("log", "utf8"));

  // Signals to children; a group by its negative id.
  const stubborn = spawn("sh", ["-c", "trap 'echo caught; exit 5' USR1; echo ready; while :; do sleep 0.01; done"]);
  const ended = once(stubborn, "exit");
  for await (const text of stubborn.stdout) {
    say("child says", text.toString().trim());
    if (text.toString().includes("ready")) stubborn.kill("SIGUSR1");
  }
  say("status", await ended);
  const group = spawn("sh", ["-c", "sleep 60 & sleep 60 & echo up; wait"], { detached: true });
  await once(group.stdout, "data");
  process.kill(-group.pid, "SIGKILL");
  say("group", await once(group, "close"));
  try { process.kill(group.pid, 0); } catch (e) { say(e.code); }

  // fork: messages over a socket pair, in both serializations, and disconnection.
  fs.writeFileSync("child.js", `
    process.on("message", (m) => m === "end" ? process.disconnect() : process.send({ twice: m.n * 2, list: m.list }));
    process.on("disconnect", () => process.exit(9));`);
  for (const serialization of ["json", "advanced"]) {
    const child = fork("./child.js", { serialization, execArgv: [] });
    let sum = 0, replies = 0;
    child.on("message", (m) => { sum += m.twice + m.list[1].length; if (++replies === 30) child.send("end"); });
    for (let n = 0; n < 30; n++) child.send({ n, list: [n, "x".repeat(n * 1000)] });
    const end = await once(child, "exit");
    say("fork", serialization, sum, end);
  }
})();
