-- Give a claim back unused: the next node to try gets it. The keys are described in claim.lua.
--
-- KEYS[1] request:OP:ID, KEYS[2] claims
-- ARGV    member (OP:ID), token
--
-- Returns 1, or 0 where the claim is not held with this token (any more) or is answered.
local was = redis.call('HMGET', KEYS[1], 'token', 'response')
if was[1] ~= ARGV[2] or was[2] then return 0 end
redis.call('DEL', KEYS[1])
redis.call('ZREM', KEYS[2], ARGV[1])
return 1
