-- Restore in a Redis that has lost it the response to the create of a live session, so that a repeat starts no second
-- session. An unanswered claim of this node that came back with an old snapshot is answered with it. For the keys see
-- claim.lua.
--
-- KEYS[1] request:create:ID, KEYS[2] claims
-- ARGV    member (OP:ID), token, digest, response, TTL of the key (ms)
--
-- Returns 1, or 0 where Redis has another claim or a response.
local was = redis.call('HMGET', KEYS[1], 'token', 'response')
if was[1] and (was[1] ~= ARGV[2] or was[2]) then return 0 end
redis.call('HSET', KEYS[1], 'token', ARGV[2], 'digest', ARGV[3], 'response', ARGV[4])
redis.call('HDEL', KEYS[1], 'payload', 'lease')
redis.call('PEXPIRE', KEYS[1], ARGV[5])
redis.call('ZREM', KEYS[2], ARGV[1])
return 1
