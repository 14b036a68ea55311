-- Sells an account's time, always the past, to whoever asks. One cell per account, changed by this script alone.
--
-- KEYS[1]  the account's cell
-- ARGV     1 rate, parts per second   2 parts wanted   3 rate left to the asker   4 "1" = slow down   5 "1" = asker was away
--          6 gathers, us   7 opens after, us   8 away after, us   9 recovery per second   10 least rate left
--          11 words to slow down within this time are one, us
-- Answers  parts sold, us until one more is there, rate left (0 to 1), 1 = closed until everybody has heard of us
--
-- Must stay true: no time is sold before it has passed, none twice; a cell that is new begins with nothing to sell.
local function argument(at) return tonumber(ARGV[at]) end
local clock = redis.call('TIME')
local now = clock[1] * 1000000 + clock[2]
local gathers, opens, away_after = argument(6), argument(7), argument(8)
local left, slow, away = argument(3), ARGV[4] == '1', ARGV[5] == '1'

local cell = redis.call('HMGET', KEYS[1], 'sold_until', 'left', 'left_at', 'slowed_at')
local sold_until, slowed_at = tonumber(cell[1]), tonumber(cell[4]) or 0
local new = not sold_until
if not new then
    left = math.min(1, tonumber(cell[2]) + math.max(0, now - cell[3]) / 1000000 * argument(9))
    if slow and (now - slowed_at >= argument(11) or slowed_at > now) then
        left, slowed_at = math.max(left / 2, argument(10)), now
    end
elseif slow then
    slowed_at = now -- what is left to the asker is halved already
end

-- New, or the clock was set back: as if all were sold.
if new or sold_until > now + opens then sold_until = now end
-- Nobody was served for a while: the others still go by their own share until they have asked too.
if away and (new or sold_until < now - away_after) then sold_until = now + opens end

local per_us = argument(1) * left / 1000000
local closed = sold_until > now
sold_until = math.max(sold_until, now - math.max(gathers, 1 / per_us))
local there = math.floor(math.max(0, now - sold_until) * per_us + 0.000001)
local sold = math.min(there, argument(2))
sold_until = math.ceil(sold_until + sold / per_us)

redis.call('HSET', KEYS[1], 'sold_until', string.format('%.0f', sold_until), 'left', string.format('%.9f', left),
    'left_at', string.format('%.0f', now), 'slowed_at', string.format('%.0f', slowed_at))
-- Long enough for a slowed account to recover and for a slow one to gather a part.
redis.call('PEXPIRE', KEYS[1], string.format('%.0f', 60000 + 0.002 / per_us))
local wait = math.max(0, math.ceil(sold_until + 1 / per_us - now))
return { sold, wait, string.format('%.9f', left), closed and 1 or 0 }
