-- Sends the bodies of a file in turn, a line each, and looks at every answer: its status, and that it holds a score.
local bodies, headers, place = {}, {}, 0
local threads = {}

function setup(thread)
  table.insert(threads, thread)
end

function init(args)
  local file = assert(io.open(args[1], "rb"))
  headers["Content-Type"] = args[2]
  wrong = 0
  while true do
    local size = file:read("*l")
    if not size then break end
    table.insert(bodies, file:read(tonumber(size)))
    file:read(1)
  end
end

function request()
  place = place % #bodies + 1
  return wrk.format("POST", nil, headers, bodies[place])
end

function response(status, _, body)
  if status ~= 200 or not body:find('"score":[[]?[0-9]') then wrong = wrong + 1 end
end

function done(summary, latency, requests)
  local wrongs = 0
  for _, thread in ipairs(threads) do wrongs = wrongs + thread:get("wrong") end
  local errors = summary.errors
  print(string.format('{"requests": %d, "seconds": %f, "wrong": %d, "broken": %d, "p50_ms": %f, "p99_ms": %f}',
    summary.requests, summary.duration / 1e6, wrongs,
    errors.connect + errors.read + errors.write + errors.timeout, latency:percentile(50) / 1e3, latency:percentile(99) / 1e3))
end
