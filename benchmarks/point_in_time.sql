-- Maintenance inputs at many cutoffs, by hand: what was known at each cutoff. Reads readings(equipment_id, kind, measured_at,
-- value, known_at), orders(work_order_id, equipment_id, kind, opened_at, completed_at, cost, known_at) and
-- asked(row, equipment_id, cutoff); every row here has one version. Readings are matched with the calendar of cutoffs by a range
-- join (half the time of a join by equipment with the times as a filter), once for the longest window; the shorter ones are
-- filters over it. {wide} and {visits} are the same figures for each kind and number of days, written out by point_in_time.py.

WITH matched AS (
    SELECT a.row, r.kind, r.value, r.measured_at, a.cutoff,
           date_diff('microsecond', a.cutoff, r.measured_at) / 86400e6 AS t
    FROM readings r
    JOIN (SELECT DISTINCT cutoff FROM asked) c
      ON r.measured_at <= c.cutoff AND r.measured_at > c.cutoff - INTERVAL 90 DAY
    JOIN asked a ON a.cutoff = c.cutoff AND a.equipment_id = r.equipment_id AND r.known_at <= a.cutoff
),
sensed AS (
    SELECT row, kind,
           count(*) FILTER (t > -7) AS count_7, avg(value) FILTER (t > -7) AS mean_7,
           stddev_pop(value) FILTER (t > -7) AS sd_7, regr_slope(value, t) FILTER (t > -7) AS slope_7,
           count(*) FILTER (t > -30) AS count_30, avg(value) FILTER (t > -30) AS mean_30,
           stddev_pop(value) FILTER (t > -30) AS sd_30, regr_slope(value, t) FILTER (t > -30) AS slope_30,
           count(*) AS count_90, avg(value) AS mean_90, stddev_pop(value) AS sd_90, regr_slope(value, t) AS slope_90
    FROM matched GROUP BY row, kind
),
wide AS (
    SELECT row, {wide}
    FROM sensed GROUP BY row
),
visited AS (
    SELECT a.row, {visits},
           min(date_diff('microsecond', o.opened_at, a.cutoff)) FILTER (o.kind = 'preventive') / 86400e6 AS days_since_preventive
    FROM asked a
    JOIN orders o ON o.equipment_id = a.equipment_id AND o.opened_at <= a.cutoff AND o.known_at <= a.cutoff
    GROUP BY a.row
)
SELECT a.row, w.* EXCLUDE (row), v.* EXCLUDE (row)
FROM asked a LEFT JOIN wide w ON w.row = a.row LEFT JOIN visited v ON v.row = a.row
ORDER BY a.row
