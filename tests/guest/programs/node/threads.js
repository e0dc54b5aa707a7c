// worker_threads: messages, shared memory with Atomics, transfer, errors, termination, many workers, the thread pool.
"use strict";
const { Worker, MessageChannel, receiveMessageOnPort, BroadcastChannel } = require("worker_threads");
const crypto = require("crypto");
const zlib = require("zlib");
const { once } = require("events");
const { promisify } = require("util");

const say = (...words) => console.log(...words);
const start = (body, workerData, options) => new Worker(`const { parentPort, workerData, threadId } = require("worker_threads");${body}`, { eval: true, workerData, ...options });

(async () => {
  const echo = start("parentPort.on('message', (m) => m === null ? process.exit(3) : parentPort.postMessage(m));");
  for (const m of [1, "text", { deep: [new Map([[1, 2]]), new Date(0)] }, new Uint8Array(3)]) { echo.postMessage(m); say(await once(echo, "message")); }
  const moved = new ArrayBuffer(1 << 20);
  echo.postMessage(moved, [moved]);
  say("transferred", moved.byteLength, (await once(echo, "message"))[0].byteLength);
  echo.postMessage(null);
  say("exit", await once(echo, "exit"));

  // A counter under Atomics, and a lock made of wait and notify.
  const shared = new SharedArrayBuffer(16);
  const cells = new Int32Array(shared);
  const body = `
    const cells = new Int32Array(workerData);
    for (let i = 0; i < 20000; i++) Atomics.add(cells, 0, 1);
    for (let i = 0; i < 200; i++) {
      while (Atomics.compareExchange(cells, 1, 0, 1) !== 0) Atomics.wait(cells, 1, 1);
      cells[2]++;
      Atomics.store(cells, 1, 0);
      Atomics.notify(cells, 1, 1);
    }`;
  const workers = [...Array(4)].map(() => start(body, shared));
  await Promise.all(workers.map((worker) => once(worker, "exit")));
  say("atomics", cells[0], cells[1], cells[2]);
  say("wait", Atomics.wait(cells, 3, 0, 20), Atomics.wait(cells, 3, 1));
  const waiter = start("const c = new Int32Array(workerData); parentPort.postMessage(0); parentPort.postMessage(Atomics.wait(c, 3, 0));", shared);
  await once(waiter, "message");
  const answer = once(waiter, "message");
  while (Atomics.notify(cells, 3) === 0) await new Promise(setImmediate);
  say("notified", await answer);

  // Errors, termination of a loop, limits, output.
  say("error", (await once(start("throw new TypeError('bad');"), "error"))[0].message);
  const spinning = start("parentPort.postMessage(0); for (;;);");
  await once(spinning, "message");
  say("terminated", await spinning.terminate());
  const greedy = start("const a = []; for (;;) a.push(new Array(1000).fill(1));", null, { resourceLimits: { maxOldGenerationSizeMb: 16, maxYoungGenerationSizeMb: 4 } });
  say("limit", (await once(greedy, "error"))[0].code);
  const talker = start("process.stdout.write('said by a worker'); process.stderr.write('and on two')", null, { stdout: true, stderr: true });
  let said = "";
  talker.stdout.on("data", (text) => (said += text));
  await once(talker, "exit");
  say(said);

  // Ports, and a broadcast.
  const { port1, port2 } = new MessageChannel();
  port1.postMessage({ a: 1 });
  say("port", receiveMessageOnPort(port2), receiveMessageOnPort(port2));
  const listeners = [...Array(3)].map(() => start("const c = new BroadcastChannel('b'); c.onmessage = (e) => { parentPort.postMessage(e.data + 1); c.close(); }; parentPort.postMessage('up')"));
  await Promise.all(listeners.map((worker) => once(worker, "message")));
  const channel = new BroadcastChannel("b");
  const heard = Promise.all(listeners.map((worker) => once(worker, "message")));
  channel.postMessage(41);
  say("broadcast", await heard);
  channel.close();
  port1.close();

  // The pool: more work than threads.
  const keys = await Promise.all([...Array(12).keys()].map((i) => promisify(crypto.pbkdf2)(`secret ${i}`, "salt", 2000, 16, "sha512")));
  say("pbkdf2", crypto.createHash("md5").update(Buffer.concat(keys)).digest("hex"));
  const packed = await Promise.all([...Array(12).keys()].map((i) => promisify(zlib.gzip)(Buffer.alloc(200000, `line ${i}`))));
  say("gzip", (await Promise.all(packed.map((data) => promisify(zlib.gunzip)(data)))).map((b) => b.length).join(" "));
  const pair = await promisify(crypto.generateKeyPair)("rsa", { modulusLength: 1024 });
  say("keys", crypto.verify("sha256", Buffer.from("m"), pair.publicKey, crypto.sign("sha256", Buffer.from("m"), pair.privateKey)));
})();
