-- The rule of cozy_domain/access/limits.py, in one step that nobody can come between.
-- KEYS: buckets; each holds the time when it is full again, in microseconds of this server's clock.
-- ARGV: for each its interval and its capacity, in microseconds.
-- Gives 1 or 0 for admitted or not, then what is used up of each bucket.
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local used = {}
local admitted = 1

for i, key in ipairs(KEYS) do
  local interval, capacity = tonumber(ARGV[2 * i - 1]), tonumber(ARGV[2 * i])
  local full_at = tonumber(redis.call('GET', key)) or now
  used[i] = math.min(math.max(full_at - now, 0), capacity)
  if used[i] + interval > capacity then
    admitted = 0
  end
end

if admitted == 1 then
  for i, key in ipairs(KEYS) do
    used[i] = used[i] + tonumber(ARGV[2 * i - 1])
    -- Not tostring: it rounds to 14 digits.
    redis.call('SET', key, string.format('%.0f', now + used[i]), 'PX', math.ceil(used[i] / 1000))
  end
end

return {admitted, unpack(used)}
