package main

import (
	"time"

	"github.com/robfig/cron/v3"
)

// instants returns the first seconds after a second at which a schedule fires, as the CronJob controller computes them.
func instants(r request) answer {
	zone, err := time.LoadLocation(r.Zone)
	if err != nil {
		return answer{Error: err.Error()}
	}
	schedule, err := cron.ParseStandard(r.Schedule)
	if err != nil {
		return answer{Error: err.Error()}
	}
	times := []int64{}
	at := time.Unix(r.After, 0).In(zone)
	for len(times) < r.Count {
		at = schedule.Next(at)
		if at.IsZero() {
			break
		}
		times = append(times, at.Unix())
	}
	return answer{Times: times, Done: true}
}
