-- Whether each request is claimed or answered (the hash is described in claim.lua). A retryable error counts only until
-- its field "until".
--
-- KEYS     request:OP:ID of each
-- ARGV     none
--
-- Returns 1 or 0 for each, in order. One call for many requests: a mere check must be cheap.
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local found = {}
for index, key in ipairs(KEYS) do
  local was = redis.call('HMGET', key, 'token', 'until')
  local lasts = was[1] and (not was[2] or tonumber(was[2]) > now)
  found[index] = lasts and 1 or 0
end
return found
