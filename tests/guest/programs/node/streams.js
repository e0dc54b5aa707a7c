// Streams: pipeline, transforms, back-pressure, zlib, async iteration, errors, abort, files, standard input.
"use strict";
const fs = require("fs");
const zlib = require("zlib");
const crypto = require("crypto");
const readline = require("readline");
const { Readable, Transform, Writable, PassThrough, finished } = require("stream");
const { pipeline } = require("stream/promises");

const say = (...words) => console.log(...words);
const digest = (name) => crypto.createHash("sha1").update(fs.readFileSync(name)).digest("hex");

(async () => {
  async function* lines(n) { for (let i = 0; i < n; i++) yield `line ${i}\n`; }
  await pipeline(Readable.from(lines(20000)), fs.createWriteStream("text"));
  say("text", fs.statSync("text").size, digest("text"));
  for (const [pack, unpack] of [["createGzip", "createGunzip"], ["createDeflateRaw", "createInflateRaw"], ["createBrotliCompress", "createBrotliDecompress"]]) {
    await pipeline(fs.createReadStream("text"), zlib[pack](), fs.createWriteStream("packed"));
    await pipeline(fs.createReadStream("packed"), zlib[unpack](), fs.createWriteStream("unpacked"));
    say(pack, fs.statSync("packed").size < fs.statSync("text").size / 3, digest("unpacked") === digest("text"));
  }
  const upper = new Transform({ highWaterMark: 100, transform(chunk, _, done) { setImmediate(done, null, chunk.toString().toUpperCase()); } });
  let total = 0, first = "";
  const slow = new Writable({ highWaterMark: 50, write(chunk, _, done) { total += chunk.length; first ||= chunk.toString().slice(0, 12); setTimeout(done, 1); } });
  await pipeline(Readable.from(lines(100)), upper, slow);
  say("slow", total, JSON.stringify(first));

  await pipeline(fs.createReadStream("missing"), new PassThrough()).catch((e) => say("error", e.code));
  await pipeline(fs.createReadStream("text"), zlib.createGunzip(), fs.createWriteStream("x")).catch((e) => say("error", e.code));
  const abort = new AbortController();
  const endless = Readable.from((async function* () { for (;;) yield "x"; })());
  setTimeout(() => abort.abort(), 10);
  await pipeline(endless, new Writable({ write: (c, _, done) => setImmediate(done) }), { signal: abort.signal }).catch((e) => say("error", e.name));
  const broken = new Readable({ read() { this.destroy(new Error("on purpose")); } });
  finished(broken, (e) => say("finished", e.message));
  broken.resume();

  let count = 0;
  for await (const line of readline.createInterface({ input: fs.createReadStream("text") })) count += line.endsWith("7");
  say("readline", count);
  const objects = await Readable.from([1, 2, 3, 4]).filter((x) => x % 2).map(async (x) => x * 10, { concurrency: 2 }).toArray();
  say("objects", objects);
  const web = new TransformStream({ transform(chunk, c) { c.enqueue(chunk + 1); } });
  const written = (async () => { const w = web.writable.getWriter(); for (const n of [1, 2, 3]) await w.write(n); await w.close(); })();
  const out = [];
  for await (const n of web.readable) out.push(n);
  await written;
  say("web", out);
  let input = "";
  for await (const chunk of process.stdin) input += chunk;
  say("stdin", JSON.stringify(input));
})();
