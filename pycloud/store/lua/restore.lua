-- Tell a Redis that has forgotten it which request a living session answered, so that a repeat makes no twin.
-- A claim of ours that came back with an old snapshot, unanswered, is answered with it. Keys: see claim.lua.
--
-- KEYS[1] request:create:ID, KEYS[2] claims
-- ARGV    member (OP:ID), token, digest, response, life of the key (ms)
--
-- Returns 1, or 0 where Redis knows better.
local was = redis.call('HMGET', KEYS[1], 'token', 'response')
if was[1] and (was[1] ~= ARGV[2] or was[2]) then return 0 end
redis.call('HSET', KEYS[1], 'token', ARGV[2], 'digest', ARGV[3], 'response', ARGV[4])
redis.call('HDEL', KEYS[1], 'payload', 'lease')
redis.call('PEXPIRE', KEYS[1], ARGV[5])
redis.call('ZREM', KEYS[2], ARGV[1])
return 1
