-- Posts texts to OpenAI's route for wrk, each text once. TEXTS is their number a request, MODEL their model's name.
local count = tonumber(os.getenv("TEXTS") or "1")
local model = os.getenv("MODEL")
local salt = os.time() % 100000 * 1000 + math.random(999)
local number = 0

local function text()
    number = number + 1
    local words = count > 1 and string.rep("the train to the city leaves at nine ", 1 + number * 7 % 15) or
        "What is the fare from the airport to the city?"
    return string.format('"%d %d %s"', salt, number, words)
end

wrk.method = "POST"
wrk.headers["content-type"] = "application/json"

function request()
    local texts = {}
    for i = 1, count do
        texts[i] = text()
    end
    return wrk.format(nil, nil, nil,
        string.format('{"input": [%s], "encoding_format": "base64", "model": "%s"}', table.concat(texts, ", "), model))
end

function done(summary, latency)
    local errors = summary.errors
    io.write(string.format('\n{"requests": %d, "seconds": %f, "p50_ms": %f, "p99_ms": %f, "failed": %d}\n',
        summary.requests, summary.duration / 1e6, latency:percentile(50) / 1e3, latency:percentile(99) / 1e3,
        errors.connect + errors.read + errors.write + errors.status + errors.timeout))
end
