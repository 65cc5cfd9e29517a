-- Requests whose claim has run out unanswered: whoever asks may take them over.
-- The keys are described in claim.lua.
--
-- KEYS[1] claims
-- ARGV    the most to return
--
-- Returns a list of members (OP:ID).
local time = redis.call('TIME')
return redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', time[1] * 1000 + math.floor(time[2] / 1000), 'LIMIT', 0, ARGV[1])
