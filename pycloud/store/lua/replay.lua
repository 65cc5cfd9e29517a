-- Publish a stored response again. The key is described in claim.lua; replayed: ms of Redis' clock of the last replay.
--
-- KEYS[1] request:OP:ID
-- ARGV    response channel, interval (ms): do nothing where it was replayed within that time
--
-- Returns 1, or 0 where there was nothing to do.
local was = redis.call('HMGET', KEYS[1], 'response', 'replayed')
if not was[1] then return 0 end
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
if was[2] and now - was[2] < tonumber(ARGV[2]) then return 0 end
redis.call('HSET', KEYS[1], 'replayed', now)
redis.call('PUBLISH', ARGV[1], was[1])
return 1
