-- Files, processes by popen and execute, coroutines, garbage collection and errors in Lua.
local function show(...) print(...) end

local file = assert(io.open("data", "w+"))
file:setvbuf("full", 1000)
for i = 1, 2000 do file:write("line ", i, "\n") end
show(file:seek("cur"), file:seek("set", 5), file:read("n"), file:read("l"), file:read(8))
show(file:seek("end", -3), file:read("a"), file:read("a"), file:read("l"))
file:close()
show(pcall(file.read, file), io.type(file))
local n, sum = 0, 0
for line in io.lines("data") do n = n + 1; sum = sum + tonumber(line:match("%d+")) end
show("lines", n, sum)
for text, number in io.lines("data", 5, "n") do show(text, number) break end
show(io.open("missing"))
show(io.open("/", "w"))
show(os.rename("data", "moved"), os.rename("data", "x"))
show(os.remove("moved"), os.remove("moved"))
local name = os.tmpname()
show(#name > 0, os.remove(name))
local temporary = io.tmpfile()
temporary:write("0123456789"); temporary:seek("set", 3); temporary:write("xyz"); temporary:seek("set")
show(temporary:read("a"))
local full = io.open("/dev/full", "w")
full:write("x")
show(full:flush())

-- Processes.
show(os.execute("exit 3"))
show(os.execute("kill -9 $$"))
show(os.execute("true"))
show(os.execute())
local pipe = io.popen("seq 20000 | tail -2; echo err >&2; exit 5")
show(pipe:read("n", "l", "a"))
show(pipe:close())
local sort = io.popen("sort -n >sorted", "w")
for i = 500, 1, -1 do sort:write(i, "\n") end
show(sort:close())
show(io.open("sorted"):read("n", "n"))
local many = {}
for i = 1, 20 do many[i] = io.popen("echo " .. i .. "; exit " .. i) end
for i = 1, 20 do local said = many[i]:read("n"); many[i] = said .. "=" .. select(3, many[i]:close()) end
show(table.concat(many, " "))
local early = io.popen("yes", "r")
show(early:read("l"), early:close())
show(os.getenv("HOME"), os.getenv("NOTHING"), os.time({ year = 2000, month = 1, day = 1, hour = 12 }), os.date("!%Y-%m-%d %H:%M:%S", 86400), os.setlocale("C"))
local start = os.clock()
while os.clock() - start < 0.01 do end
show("clock", os.difftime(os.time(), os.time()) <= 1)

-- Coroutines, closures, errors, garbage.
local function produce(n) return coroutine.wrap(function() for i = 1, n do coroutine.yield(i) end end) end
sum = 0
for i in produce(100000) do sum = sum + i end
show("coroutines", sum)
local closed = {}
local ok, message = pcall(function()
  local a <close> = setmetatable({}, { __close = function(_, e) closed[#closed + 1] = tostring(e):match("on purpose") end })
  error("on purpose")
end)
show(ok, message:match("on purpose"), closed[1])
local function deep(i) return 1 + deep(i + 1) end
ok, message = pcall(deep, 1)
show(ok, message:match("stack overflow"))
local finalized = 0
for _ = 1, 1000 do setmetatable({}, { __gc = function() finalized = finalized + 1 end }) end
local kept, weak = {}, setmetatable({}, { __mode = "v" })
for i = 1, 200000 do kept[i] = { i, tostring(i) }; weak[i] = { i } end
collectgarbage("collect")
show(finalized, #kept, next(weak), collectgarbage("count") > 1000)
collectgarbage("generational")
for i = 1, 300000 do local _ = { i } end
show(string.rep("x", 1 << 20):gsub("x", "y"):sub(1, 3), ("%5.2f|%q|%x"):format(math.pi, "a\n", 255), utf8.char(228, 8364), 7 // 2, 7 % -3, 1 << 62, math.maxinteger + 1 == math.mininteger)
table.sort(kept, function(a, b) return a[2] < b[2] end)
show(kept[1][1], kept[200000][1], string.pack(">I4s1", 258, "abc"):byte(1, -1))
show(io.read("l"), io.read("n"), #io.read("a"))
io.stderr:write("to standard error\n")
os.exit(6, true)
