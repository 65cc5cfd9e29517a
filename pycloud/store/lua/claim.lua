-- Claim a request: of all nodes that try, exactly one may carry it out and answer it.
--
-- KEYS[1]  request:OP:ID  hash: digest   of the payload, to distinguish a repeat from another request
--                               token    random; the node that holds it may answer
--                               cloud    id of the node that claimed it last
--                               run      the run_id of the Redis in which it was claimed, or last renewed
--                               lease    ms of Redis' clock at which the claim expires unless renewed
--                               taken    how often the claim was taken over from a node that stopped renewing it
--                               payload  until it is answered, for a takeover
--                               response once it is answered, and
--                               answered ms of Redis' clock at which it was
--                               until    of a retryable error: ms of Redis' clock from which on a repeat is a new
--                                        request
-- KEYS[2]  claims         sorted set: OP:ID of requests that are claimed and not answered, by lease
-- ARGV     member (OP:ID), token, node, digest, payload, lease (ms), TTL of the key (ms), most takeovers, run,
--          whether the request is about a session of this node (1 or 0),
--          whether the request was delayed (1 or 0): its requester may have stopped waiting
--
-- Returns {verdict, age}: claimed, abandoned (claimed too, but only to answer so), held (by a valid claim), conflict
-- (the id was used with another payload), or answered: age is then that of the response in ms.
--
-- A claim from an earlier run of Redis may have been answered since and have come back with an old snapshot: only the
-- node that made it, or the owner of the session that it is about (which knows the outcome), may finish it.
local member, token, cloud, digest, payload, run = ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5], ARGV[9]
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local fields = {'digest', 'token', 'lease', 'taken', 'response', 'cloud', 'run', 'answered', 'until'}
local was = redis.call('HMGET', KEYS[1], unpack(fields))
if was[9] and tonumber(was[9]) <= now then
  if ARGV[11] == '1' then return {'held', 0} end
  redis.call('DEL', KEYS[1])
  was = {}
end
local taken = tonumber(was[4] or 0)

if was[1] and was[1] ~= digest then return {'conflict', 0} end
if was[5] then return {'answered', now - (was[8] or 0)} end
if was[1] and was[2] ~= token then
  if tonumber(was[3]) > now then return {'held', 0} end
  if was[7] ~= run and was[6] ~= cloud and ARGV[10] ~= '1' then return {'held', 0} end
  taken = taken + 1
end

local lease = now + ARGV[6]
redis.call('HSET', KEYS[1], 'digest', digest, 'token', token, 'cloud', cloud, 'run', run, 'lease', lease,
  'taken', taken, 'payload', payload)
redis.call('PEXPIRE', KEYS[1], ARGV[7])
redis.call('ZADD', KEYS[2], lease, member)
if taken > tonumber(ARGV[8]) then return {'abandoned', 0} end
return {'claimed', 0}
