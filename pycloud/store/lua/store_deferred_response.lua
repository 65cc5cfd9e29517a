-- Store the response to a deferred remove that has been carried out since, for repeats: its requester was answered when
-- it was deferred, so nothing is published. The keys are described in claim.lua.
--
-- KEYS[1] request:remove:ID, KEYS[2] claims
-- ARGV    member (OP:ID), token, digest, response, TTL of the key (ms)
--
-- Returns 1, or 0 where the id was used for another request meanwhile, or this one has a final response.
local was = redis.call('HMGET', KEYS[1], 'digest', 'response', 'until')
if was[1] and was[1] ~= ARGV[3] then return 0 end
if was[2] and not was[3] then return 0 end
redis.call('HSET', KEYS[1], 'token', ARGV[2], 'digest', ARGV[3], 'response', ARGV[4])
redis.call('HDEL', KEYS[1], 'payload', 'lease', 'answered', 'until')
redis.call('PEXPIRE', KEYS[1], ARGV[5])
redis.call('ZREM', KEYS[2], ARGV[1])
return 1
