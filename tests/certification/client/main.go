// SPDX-License-Identifier: MIT

// client ADDRESS - drives jobd through code that Debian's varlink-go generates from the interface that jobd itself describes.
// `client -describe ADDRESS` prints that description.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"

	"github.com/varlink/go/varlink"
	"orgjobd"
)

func check(what string, err error) {
	if err != nil {
		fmt.Printf("%s: %v\n", what, err)
		os.Exit(1)
	}
}

func require(ok bool, what string, got interface{}) {
	if !ok {
		fmt.Printf("%s: %+v\n", what, got)
		os.Exit(1)
	}
}

func job(path string, argv ...string) orgjobd.Job {
	return orgjobd.Job{Path: path, Argv: &argv}
}

func submit(ctx context.Context, c *varlink.Connection) int64 {
	name := "from go"
	options := orgjobd.RunOptions{Name: &name}
	jobs := []orgjobd.Job{job("a", "true"), job("a/b", "false"), job("a/~/c", "true")}
	run, existing, err := orgjobd.Submit().Call(ctx, c, &options, jobs)
	check("Submit", err)
	require(!existing, "Submit: existing", existing)
	return run
}

func wait(ctx context.Context, c *varlink.Connection, run int64) {
	done, exit, results, err := orgjobd.Wait().Call(ctx, c, []orgjobd.Target{{Run: fmt.Sprint(run)}}, nil)
	check("Wait", err)
	require(done && exit == 1 && len(results) == 1 && results[0].State == "failed", "Wait", results)
}

func list(ctx context.Context, c *varlink.Connection, run int64) {
	name := fmt.Sprint(run)
	_, jobs, _, err := orgjobd.List().Call(ctx, c, &name, nil, nil, nil, nil)
	check("List", err)
	require(jobs != nil && len(*jobs) == 3, "List", jobs)
	states := map[string]string{"a": "ok", "a/b": "failed", "a/~/c": "skipped"}
	for _, row := range *jobs {
		require(states[row.Path] == row.State, "List", row)
	}
}

func watch(ctx context.Context, c *varlink.Connection, run int64) {
	name, since, ended := fmt.Sprint(run), int64(0), 0
	receive, err := orgjobd.Watch().Send(ctx, c, varlink.More, &name, &since, nil)
	check("Watch", err)
	for {
		events, _, flags, err := receive(ctx)
		check("Watch", err)
		for _, event := range events {
			if event.Kind == "ended" {
				ended++
			}
		}
		if flags&varlink.Continues == 0 {
			break
		}
	}
	require(ended == 2, "Watch: jobs that ended", ended)
}

func refusals(ctx context.Context, c *varlink.Connection) {
	_, _, _, _, _, err := orgjobd.Get().Call(ctx, c, "no such run", nil)
	missing, ok := err.(*orgjobd.NoSuchRun)
	require(ok && missing.Run == "no such run", "Get of what is not there", err)
	_, _, err = orgjobd.Submit().Call(ctx, c, nil, []orgjobd.Job{job("a//b", "true")})
	refused, ok := err.(*orgjobd.Refused)
	require(ok && *refused.Path == "a//b", "Submit of a bad path", err)
}

func main() {
	describe := flag.Bool("describe", false, "print the interface")
	flag.Parse()
	ctx := context.Background()
	c, err := varlink.NewConnection(ctx, flag.Arg(0))
	check("connect", err)
	if *describe {
		text, err := c.GetInterfaceDescription(ctx, "org.jobd")
		check("GetInterfaceDescription", err)
		fmt.Print(text)
		return
	}
	var product string
	check("GetInfo", c.GetInfo(ctx, nil, &product, nil, nil, nil))
	require(product == "jobd", "GetInfo: product", product)
	run := submit(ctx, c)
	wait(ctx, c, run)
	list(ctx, c, run)
	watch(ctx, c, run)
	refusals(ctx, c)
	fmt.Println("all well")
}
