-- Answer a claimed request: store and publish its response, and record or erase its session, atomically.
-- The request's keys are described in claim.lua.
--
-- KEYS[1] request:OP:ID      KEYS[2] claims
-- KEYS[3] session:S          hash: the record of a session
-- KEYS[4] sessions           sorted set: ids of all sessions, by Unix second of creation
-- KEYS[5] sessions:C         set: ids of the sessions of one node
-- KEYS[6] events             stream, capped: field event holds the JSON
-- KEYS[7] name:N             where the session has a name (update_name.lua)
-- ARGV    member (OP:ID), token, digest, response, TTL of the response (ms), response channel,
--         change (record, erase or none), session, its creation (s), TTL of its record (ms),
--         event (JSON, may be empty), events channel, most events, ms after which a repeat is a new request (0: it is
--         one only when Redis has forgotten this one), state of the name (live or ended), then the fields and values
--         of the record
--
-- Returns committed; already (this token has answered before: nothing done); lost (another node has claimed or answered
-- it: nothing done); or named (another live session has its name: nothing done). A request that Redis has forgotten is
-- claimed and committed at once.
local was = redis.call('HMGET', KEYS[1], 'token', 'response')
if was[1] and was[1] ~= ARGV[2] then return 'lost' end
if was[2] then return 'already' end
local held, may_name = {}, false
if KEYS[7] then
  held = redis.call('HMGET', KEYS[7], 'session', 'state', 'request')
  may_name = not held[1] or held[1] == ARGV[8] or held[2] == 'ended' or (held[2] == 'starting' and held[3] == ARGV[1])
  if ARGV[7] == 'record' and ARGV[15] == 'live' and not may_name then return 'named' end
end

local time = redis.call('TIME')
redis.call('HSET', KEYS[1], 'token', ARGV[2], 'digest', ARGV[3], 'response', ARGV[4],
  'answered', time[1] * 1000 + math.floor(time[2] / 1000))
redis.call('HDEL', KEYS[1], 'payload', 'lease', 'until')
if tonumber(ARGV[14]) > 0 then
  redis.call('HSET', KEYS[1], 'until', time[1] * 1000 + math.floor(time[2] / 1000) + ARGV[14])
end
redis.call('PEXPIRE', KEYS[1], ARGV[5])
redis.call('ZREM', KEYS[2], ARGV[1])
if ARGV[7] == 'record' then
  redis.call('DEL', KEYS[3])
  redis.call('HSET', KEYS[3], unpack(ARGV, 16))
  redis.call('PEXPIRE', KEYS[3], ARGV[10])
  redis.call('ZADD', KEYS[4], ARGV[9], ARGV[8])
  redis.call('SADD', KEYS[5], ARGV[8])
  redis.call('PEXPIRE', KEYS[5], math.max(tonumber(ARGV[10]), 86400000))
  if may_name then
    redis.call('HSET', KEYS[7], 'session', ARGV[8], 'state', ARGV[15], 'request', ARGV[1])
    redis.call('PEXPIRE', KEYS[7], ARGV[10])
  end
elseif ARGV[7] == 'erase' then
  redis.call('DEL', KEYS[3])
  redis.call('ZREM', KEYS[4], ARGV[8])
  redis.call('SREM', KEYS[5], ARGV[8])
  if held[1] == ARGV[8] then redis.call('DEL', KEYS[7]) end
end
redis.call('PUBLISH', ARGV[6], ARGV[4])
if ARGV[11] ~= '' then
  redis.call('XADD', KEYS[6], 'MAXLEN', '~', ARGV[13], '*', 'event', ARGV[11])
  redis.call('PUBLISH', ARGV[12], ARGV[11])
end
return 'committed'
