-- Requests whose claim has expired without a response: any node may try to take them over.
-- The keys are described in claim.lua.
--
-- KEYS[1] claims
-- ARGV    the lowest lease to begin with, the most to return
--
-- Returns a list of members (OP:ID) and leases, alternating, lowest lease first.
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
return redis.call('ZRANGEBYSCORE', KEYS[1], ARGV[1], now, 'WITHSCORES', 'LIMIT', 0, ARGV[2])
