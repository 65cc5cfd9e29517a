-- Give a name to a session, keep it there, or take it away: of all that live, at most one session has a name.
--
-- KEYS[1] name:N     hash: session  that has the name, or had it last
--                          state    starting: the name is kept for it while it is started, and renewed with the claim
--                                   of its create (renew.lua); live; or ended: whoever wants the name may have it
--                          request  OP:ID of the create that it was made by: who takes that over may have the name
-- KEYS[2] session:S  its record; its name is the name that it has, or had to its end
-- ARGV    what is wanted (starting, live, ended, gone, or given_up: gone, while its cloud is away and cannot be asked),
--         the name, session, request (OP:ID), life of the name (ms)
--
-- Returns {verdict, session}: done; taken, by that session; or given_up: somebody gave this name up for us. A live
-- session that has lost its name so does not have it in its record any more.
local wanted, name, session, request, life = ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5]
local held = redis.call('HMGET', KEYS[1], 'session', 'state', 'request')
local ours = held[1] == session

if wanted == 'gone' or wanted == 'given_up' then
  if ours then redis.call('DEL', KEYS[1]) end
  if wanted == 'given_up' then redis.call('HDEL', KEYS[2], 'name') end
  return {'done', session}
end
if wanted == 'live' and redis.call('EXISTS', KEYS[2]) == 1 and redis.call('HGET', KEYS[2], 'name') ~= name then
  return {'given_up', ''}
end
local free = not held[1] or ours or held[2] == 'ended'
if wanted == 'ended' then free = not held[1] or ours end
if held[2] == 'starting' then
  -- One that lives comes first: this Redis had forgotten it. Its name cannot have been given away otherwise.
  free = ours or wanted == 'live' or (wanted == 'starting' and held[3] == request)
end
if not free then
  if wanted == 'live' then redis.call('HDEL', KEYS[2], 'name') end
  return {'taken', held[1]}
end
redis.call('HSET', KEYS[1], 'session', session, 'state', wanted, 'request', request)
redis.call('PEXPIRE', KEYS[1], life)
return {'done', session}
