// The order of the event loop: timers, immediates, microtasks, ticks; signals; clocks; the end of the process.
"use strict";
const fs = require("fs");
const timers = require("timers/promises");
const { performance } = require("perf_hooks");
const { EventEmitter, once } = require("events");
const { AsyncLocalStorage } = require("async_hooks");

const say = (...words) => console.log(...words);
setTimeout(() => say("timeout 40"), 40);
setTimeout(() => say("timeout 5"), 5);
process.nextTick(() => say("tick"));
Promise.resolve().then(() => say("promise")).then(() => say("second promise"));
queueMicrotask(() => say("microtask"));
say("synchronous");

setTimeout(async () => {
  fs.readFile("/etc/hostname", () => {
    setTimeout(() => say("io: timeout"), 0);
    setImmediate(() => say("io: immediate"));
    process.nextTick(() => say("io: tick"));
  });
  await timers.setTimeout(50);
  let ticks = 0;
  for await (const _ of timers.setInterval(2)) if (++ticks === 5) break;
  say("interval", ticks);
  const before = performance.now();
  await timers.setTimeout(40);
  const took = performance.now() - before;
  say("slept", took >= 39, took < 5000);
  const start = process.hrtime.bigint();
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 15);
  say("blocked", process.hrtime.bigint() - start >= 14_000_000n);
  const many = await Promise.all([...Array(1000).keys()].map((i) => timers.setTimeout(i % 10, i)));
  say("thousand", many.length);
  const order = [];
  await Promise.all([9, 3, 6, 1].map((ms) => timers.setTimeout(ms * 10).then(() => order.push(ms))));
  say("order", order);
  const cancelled = setTimeout(() => say("never"), 1);
  clearTimeout(cancelled);
  setTimeout(() => say("never: not waited for"), 1e6).unref();
  const aborter = new AbortController();
  const sleeping = timers.setTimeout(1e6, null, { signal: aborter.signal });
  aborter.abort();
  await sleeping.catch((e) => say(e.code));

  // Signals, sent to itself; waiting for one does not keep a process alive.
  const alive = setInterval(() => 0, 1000);
  for (const name of ["SIGUSR2", "SIGHUP", "SIGTERM", "SIGINT", "SIGWINCH", "SIGCHLD"]) {
    const received = once(process, name);
    process.kill(process.pid, name);
    say("signal", (await received)[0]);
    process.removeAllListeners(name);
  }
  let storms = 0;
  process.on("SIGUSR2", () => storms++);
  for (let i = 0; i < 200; i++) { process.kill(process.pid, "SIGUSR2"); if (i % 20 === 0) await timers.setImmediate(); }
  while (storms === 0) await timers.setTimeout(1);
  process.removeAllListeners("SIGUSR2");
  clearInterval(alive);
  say("storm", storms > 0);

  const local = new AsyncLocalStorage();
  await local.run(42, async () => { await timers.setTimeout(1); say("local", local.getStore()); });
  const emitter = new EventEmitter();
  setImmediate(() => emitter.emit("it", 1, 2));
  say("once", await once(emitter, "it"));
  const usage = process.cpuUsage(), memory = process.memoryUsage();
  say("usage", usage.user > 0, memory.rss > 1 << 20, memory.heapUsed > 0, process.uptime() > 0);
  say("process", process.platform, process.arch, process.argv.length, process.pid > 0, process.ppid > 0, require("os").cpus().length > 0, require("os").availableParallelism() > 0, require("os").totalmem() > require("os").freemem());
  process.on("beforeExit", (status) => say("before exit", status));
  process.on("exit", (status) => say("exit", status));
  process.exitCode = 4;
}, 60);
