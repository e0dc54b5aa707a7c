// fs in its three forms: promises (the thread pool), callbacks, synchronous; watching; large and sparse files.
"use strict";
const fs = require("fs");
const fsp = fs.promises;
const path = require("path");
const crypto = require("crypto");

const say = (...words) => console.log(...words);
const code = (error) => error.code + " " + error.syscall;

(async () => {
  await fsp.mkdir("a/b/c", { recursive: true });
  await Promise.all([...Array(64).keys()].map((i) => fsp.writeFile(`a/b/f${i}`, "x".repeat(i * 100))));
  const sizes = await Promise.all((await fsp.readdir("a/b")).map(async (n) => (await fsp.stat(`a/b/${n}`)).isFile() ? (await fsp.readFile(`a/b/${n}`)).length : -1));
  say("files", sizes.length, sizes.reduce((x, y) => x + y, 0));
  say("types", (await fsp.readdir("a", { withFileTypes: true })).map((e) => [e.name, e.isDirectory()]));

  const handle = await fsp.open("a/handle", "w+");
  await handle.write(Buffer.from("0123456789"), 0, 10, 0);
  await handle.write("abc", 20);
  await handle.writev([Buffer.from("XY"), Buffer.from("Z")], 4);
  const { bytesRead, buffer } = await handle.read(Buffer.alloc(40), 0, 40, 0);
  say("handle", bytesRead, JSON.stringify(buffer.toString("latin1", 0, bytesRead)));
  await handle.truncate(5);
  await handle.sync();
  await handle.datasync();
  await handle.chmod(0o640);
  await handle.utimes(1000, 2000.5);
  const stat = await handle.stat();
  say("stat", stat.size, (stat.mode & 0o7777).toString(8), stat.atimeMs, stat.mtimeMs, stat.nlink);
  await handle.close();
  const big = fs.statSync("a/handle", { bigint: true });
  say("bigint", big.mtimeNs, big.size);

  await fsp.symlink("handle", "a/link");
  await fsp.link("a/handle", "a/hard");
  say("links", await fsp.readlink("a/link"), (await fsp.lstat("a/link")).isSymbolicLink(), (await fsp.stat("a/hard")).nlink, path.relative(process.cwd(), await fsp.realpath("a/link")));
  await fsp.copyFile("a/handle", "a/copy", fs.constants.COPYFILE_EXCL);
  await fsp.copyFile("a/handle", "a/copy", fs.constants.COPYFILE_EXCL).catch((e) => say("again", code(e)));
  await fsp.copyFile("a/handle", "a/clone", fs.constants.COPYFILE_FICLONE);
  await fsp.cp("a/b", "a/tree", { recursive: true });
  await fsp.rename("a/tree", "a/wood");
  say("wood", fs.readdirSync("a/wood").length);
  await fsp.appendFile("a/copy", "-more");
  say("copy", fs.readFileSync("a/copy", "utf8"), fs.readFileSync("a/clone", "utf8"));

  for (const attempt of [
    () => fsp.readFile("missing"), () => fsp.rmdir("a"), () => fsp.mkdir("a"), () => fsp.open("a", "w"), () => fsp.readdir("a/copy"),
    () => fsp.readlink("a/copy"), () => fsp.unlink("a/b"), () => fsp.access("/etc/nothing/x"), () => fsp.rename("a", "a/b/z"), () => fsp.symlink("x", "a/copy"),
  ]) await attempt().then(() => say("no error"), (e) => say(code(e)));

  // A large file by streams and a sparse one by position.
  const hash = crypto.createHash("sha256");
  const out = fs.createWriteStream("large", { highWaterMark: 1 << 16 });
  const block = Buffer.alloc(100000, "pylitebox ");
  for (let i = 0; i < 50; i++) if (!out.write(block)) await new Promise((done) => out.once("drain", done));
  await new Promise((done) => out.end(done));
  for await (const chunk of fs.createReadStream("large", { start: 5, end: 4000004 })) hash.update(chunk);
  say("large", fs.statSync("large").size, hash.digest("hex"));
  const fd = fs.openSync("sparse", "w+");
  fs.writeSync(fd, "end", 1 << 30);
  say("sparse", fs.fstatSync(fd).size, fs.readSync(fd, Buffer.alloc(8), 0, 8, (1 << 30) - 4));
  fs.closeSync(fd);
  const statfs = await fsp.statfs("/tmp");
  say("statfs", statfs.bsize > 0, statfs.blocks >= statfs.bfree);
  const temporary = await fsp.mkdtemp("tmp-");
  say("mkdtemp", temporary.length, fs.existsSync(temporary));
  const directory = await fsp.opendir("a/b", { bufferSize: 7 });
  let entries = 0;
  for await (const entry of directory) entries += entry.name.length > 0;
  say("opendir", entries);

  // watch: by inotify, and watchFile: by polling.
  const events = [];
  const watcher = fs.watch("a/b", (event, name) => events.push(`${event} ${name}`));
  await new Promise((done) => {
    watcher.on("change", () => events.filter((event) => event === "rename gone").length >= 2 && done());
    fs.writeFileSync("a/b/gone", "");
    fs.unlinkSync("a/b/gone");
  });
  watcher.close();
  say("watch", events.filter((event) => event.startsWith("rename")));
  await new Promise((done) => {
    let writes = 0;
    fs.watchFile("a/copy", { interval: 20 }, (now, before) => {
      say("watchFile", before.size, now.size);
      fs.unwatchFile("a/copy");
      clearInterval(timer);
      done();
    });
    const timer = setInterval(() => writes++ || fs.writeFileSync("a/copy", "shorter"), 100);
  });
  await fsp.rm("a", { recursive: true });
  say("rest", fs.readdirSync(".").map((n) => n.slice(0, 4)).sort());
})();
