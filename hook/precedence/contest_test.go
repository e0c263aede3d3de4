package precedence

import (
	"testing"

	"github.com/gpu-hook/gpu-hook/hook/config"
	"github.com/gpu-hook/gpu-hook/hook/plan"
	"github.com/gpu-hook/gpu-hook/hook/request"
	"github.com/gpu-hook/gpu-hook/internal/fault"
)

const (
	byAnnotation = "overridden: gpu-hook/gpus is set, and stands higher"
	byMount      = "overridden: a mount is set, and stands higher"
	byEnv        = "overridden: NVIDIA_VISIBLE_DEVICES is set, and stands higher"

	annotationText = `gpu-hook/gpus=annotation`
	mountText      = `mount mount`
	envText        = `NVIDIA_VISIBLE_DEVICES=env`
)

// lost is the warning that a request lost to another which is for something else.
func lost(r, to string) string {
	return "W-OVERRIDDEN " + r + ": overridden by " + to + ", which stands higher"
}

// The highest source that is set decides for its vendor, even if it asks for nothing. What asked for something else is
// reported.
func TestContest(t *testing.T) {
	for _, test := range []contested{
		{"nobody asks", nil, nil, nil},
		{"one", requests{ask(env(), "0")}, nil, []string{"wins"}},
		{"two sources for the same", requests{ask(annotation(), "0", "1"), ask(env(), "1", "0")}, nil, []string{
			"wins", byAnnotation,
		}},
		{"two sources for something else", requests{ask(annotation(), "0"), ask(env(), "1")}, nil, []string{
			"wins", byAnnotation, lost(envText, annotationText),
		}},
		{"in any order", requests{ask(env(), "1"), ask(mount(), "0")}, nil, []string{
			byMount, "wins", lost(envText, mountText),
		}},
		{
			"the highest is named, not the next",
			requests{ask(annotation(), "0"), ask(mount(), "1"), ask(env(), "1")},
			nil,
			[]string{
				"wins", byAnnotation, byAnnotation, lost(mountText, annotationText), lost(envText, annotationText),
			},
		},
		{
			"several requests of one source are all served",
			requests{ask(mount(), "0"), channel(mount(), "1"), ask(mount(), "2")},
			nil,
			[]string{
				"wins", "wins", "wins",
			},
		},
		{"nothing cancels a lower source", requests{nothing(annotation()), ask(env(), "0")}, nil, []string{
			"empty", byAnnotation, lost(envText, annotationText),
		}},
		{
			"nothing of a lower source cancels nothing",
			requests{ask(annotation(), "0"), nothing(env())},
			nil,
			[]string{
				"wins", "empty",
			},
		},
		{"nothing alone", requests{nothing(env())}, nil, []string{"empty"}},
		{"nothing twice", requests{nothing(annotation()), nothing(env())}, nil, []string{"empty", "empty"}},
		{"the configured order", requests{ask(env(), "0"), ask(annotation(), "1")}, func(c *config.Config) {
			c.Requests.Sources = []string{"env", "annotation"}
		}, []string{"wins", byEnv, lost(annotationText, envText)}},
	} {
		test.run(t, engineless())
	}
}

// Engines and Specs leave "void" for other hooks. It cancels nothing that the user has asked for by an annotation or a
// mount, wherever it is.
func TestVoid(t *testing.T) {
	envFirst := func(c *config.Config) {
		c.Requests.Sources = []string{"env", "mount", "cdi-annotation", "annotation"}
	}
	plainNothing := requests{nothing(env()), ask(annotation(), "0")}
	for _, test := range []contested{
		{
			"in the environment, below an annotation", requests{ask(annotation(), "0"), void(env())}, nil, []string{
				"wins", "empty",
			},
		},
		{
			"in the environment, above an annotation",
			requests{void(env()), ask(annotation(), "0")},
			envFirst,
			[]string{
				"empty", "wins",
			},
		},
		{
			"in the environment, above a CDI annotation", requests{void(env()), ask(cdi(), "0")}, envFirst, []string{
				"empty", "wins",
			},
		},
		{"another nothing there cancels", plainNothing, envFirst, []string{"empty", byEnv, lost(annotationText, envText)}},
		{
			"in the environment, above a mount", requests{void(env()), ask(mount(), "0")}, envFirst, []string{
				"empty", byEnv, lost(mountText, envText),
			},
		},
		{
			"below the folder of the mounts, above an annotation",
			requests{void(mount()), ask(annotation(), "0")},
			envFirst,
			[]string{
				"empty", "wins",
			},
		},
		{
			"below the folder of the mounts, above the environment",
			requests{void(mount()), ask(env(), "0")},
			nil,
			[]string{
				"empty", byMount, lost(envText, mountText),
			},
		},
	} {
		test.run(t, engineless())
	}
}

func TestContestOfWishes(t *testing.T) {
	for _, test := range []contested{
		{"alone", requests{wish("all")}, nil, []string{"wins"}},
		{"below what was asked for", requests{ask(annotation(), "0"), wish("all")}, nil, []string{
			"wins", byAnnotation, lost(envText, annotationText),
		}},
		{"above what was asked for", requests{files(mount()), ask(env(), "0")}, nil, []string{
			byEnv, "wins", lost(mountText, envText),
		}},
		{"below nothing", requests{nothing(annotation()), wish("all")}, nil, []string{
			"empty", byAnnotation, lost(envText, annotationText),
		}},
		{"above nothing", requests{files(mount()), nothing(env())}, nil, []string{"wins", "empty"}},
		{
			"two wishes", requests{wish("all"), files(mount())}, nil, []string{
				byMount, "wins", lost(envText, mountText),
			},
		},
		// A wish that lost to what was asked for is above nobody any more: it cannot cancel a lower wish's vendor.
		{"a beaten wish beats nobody", requests{
			ask(annotation(), "0"), weak(askOf(mount(), vendors("nvidia", "amd"), "1")),
			weak(askOf(request.Env("AMD"), vendors("amd"), "0")),
		}, nil, []string{
			"wins", byAnnotation, "wins",
			"W-OVERRIDDEN " + mountText + ": overridden by " + annotationText + ", which stands higher",
		}},
		{
			"on-conflict does not stop for a wish",
			requests{ask(annotation(), "0"), wish("all")},
			func(c *config.Config) {
				c.Requests.OnConflict = config.Error
			},
			[]string{"wins", byAnnotation, lost(envText, annotationText)},
		},
	} {
		test.run(t, engineless())
	}
}

func weak(r *request.Request) *request.Request {
	r.Weak = true
	return r
}

// Each vendor is decided for separately, and each part of a vendor's contract too. A request that may go to several
// vendors takes precedence over the lower requests of all of them.
func TestContestOfVendors(t *testing.T) {
	any := func(source config.Source) *request.Request {
		return askOf(source, vendors("nvidia", "amd", "intel"), "0")
	}
	amd := func(ids ...string) *request.Request {
		return askOf(request.Env("AMD_VISIBLE_DEVICES"), vendors("amd"), ids...)
	}
	other := func(source config.Source, vendor string) *request.Request {
		r := askOf(source, nil, vendor+"/hsm=0")
		r.Vendor = vendor
		return r
	}
	for _, test := range []contested{
		{
			"another vendor's is not concerned", requests{ask(annotation(), "0"), amd("0")}, nil, []string{
				"wins", "wins",
			},
		},
		{
			"an IMEX channel is not concerned", requests{nothing(annotation()), channel(env(), "0")}, nil, []string{
				"empty", "wins",
			},
		},
		{"a channel over a channel", requests{channel(mount(), "0"), channel(env(), "1")}, nil, []string{
			"wins", byMount, lost(envText, mountText),
		}},
		{"any vendor's over each vendor's", requests{any(annotation()), ask(env(), "0"), amd("0")}, nil, []string{
			"wins", byAnnotation, byAnnotation, lost(`AMD_VISIBLE_DEVICES=env`, annotationText),
		}},
		{"one vendor's over any vendor's", requests{ask(annotation(), "1"), any(mount())}, nil, []string{
			"wins", byAnnotation, lost(mountText, annotationText),
		}},
		{
			"the highest of two that are above it",
			requests{ask(annotation(), "0"), askOf(mount(), vendors("amd"), "0"), any(env())},
			nil,
			[]string{"wins", "wins", byAnnotation},
		},
		{
			"vendors that are not configured",
			requests{other(annotation(), "a.com"), other(cdi(), "a.com"), other(cdi(), "b.com")},
			nil,
			[]string{
				"wins", byAnnotation, "wins",
			},
		},
	} {
		test.run(t, engineless())
	}
	_, warnings, err := Contest(config.Defaults(), engineless(), requests{any(annotation()), amd("1")})
	want := "remove one of the two requests, or name a driver in both if they are meant for different vendors"
	if err != nil || len(warnings) != 1 || warnings[0].Hint() != want {
		t.Errorf("%v %v", warnings, err)
	}
	_, warnings, err = Contest(config.Defaults(), engineless(), requests{ask(annotation(), "0"), ask(env(), "1")})
	if err != nil || len(warnings) != 1 || warnings[0].Hint() != "remove one of the two requests" {
		t.Errorf("%v %v", warnings, err)
	}
}

// A mistake stops the start if it wins. One that leaves no vendor to contest for always does.
func TestMistakes(t *testing.T) {
	ofNobody := func(r *request.Request) *request.Request {
		r.Vendors, r.Vendor = nil, ""
		return r
	}
	const sense = " it makes no sense"
	for _, test := range []contested{
		{"it wins", requests{mistake(env())}, nil, []string{
			"refused:" + sense, "E-REQUEST " + envText + ":" + sense,
		}},
		{"it loses", requests{ask(annotation(), "0"), mistake(env())}, nil, []string{
			"wins", byAnnotation, lost(envText, annotationText),
		}},
		{"of another vendor", requests{askOf(annotation(), vendors("amd"), "0"), mistake(env())}, nil, []string{
			"", "refused:" + sense, "E-REQUEST " + envText + ":" + sense,
		}},
		{"of nobody", requests{ask(annotation(), "0"), ofNobody(mistake(env()))}, nil, []string{
			"", "refused:" + sense, "E-REQUEST " + envText + ":" + sense,
		}},
		{
			"of nobody, below nothing of nobody's",
			requests{ofNobody(nothing(annotation())), ofNobody(mistake(env()))},
			nil,
			[]string{
				"empty", "refused:" + sense, "E-REQUEST " + envText + ":" + sense,
			},
		},
	} {
		test.run(t, engineless())
	}
}

// A source that does not count takes no part, and its requests are reported as refused.
func TestRefused(t *testing.T) {
	refused := func() *request.Request { return ask(annotation(), "1").Refuse("policy") }
	strict := func(c *config.Config) { c.Requests.OnRefused = config.Error }
	for _, test := range []contested{
		{
			"alone", requests{refused()}, nil, []string{
				"refused: policy", "W-REFUSED " + annotationText + ": policy",
			},
		},
		{"it overrides nobody", requests{refused(), ask(env(), "0")}, nil, []string{
			"refused: policy", "wins", "W-REFUSED " + annotationText + ": policy",
		}},
		{"and nobody overrides it", requests{ask(mount(), "0"), ask(env(), "1").Refuse("policy")}, nil, []string{
			"wins", "refused: policy", "W-REFUSED " + envText + ": policy",
		}},
		{"on-refused", requests{refused(), ask(env(), "0")}, strict, []string{
			"refused: policy", "", "E-POLICY " + annotationText + ": policy",
		}},
		{"on-refused does not stop for a wish", requests{wish("all").Refuse("policy")}, strict, []string{
			"refused: policy", "W-REFUSED " + envText + ": policy",
		}},
	} {
		test.run(t, engineless())
	}
	hinted := refused()
	hinted.Hint = "do this"
	for want, r := range map[string]*request.Request{
		"do this": hinted, "the administrator of this host decides this in /etc/gpu-hook/config.toml": refused(),
	} {
		if _, warnings, _ := Contest(config.Defaults(), engineless(), requests{r}); warnings[0].Hint() != want {
			t.Errorf("hint %q", warnings[0].Hint())
		}
	}
}

// on-conflict = "error": a request that lost to one for something else stops the start.
func TestOnConflict(t *testing.T) {
	strict := func(c *config.Config) { c.Requests.OnConflict = config.Error }
	for _, test := range []contested{
		{"for something else", requests{ask(annotation(), "0"), ask(env(), "1")}, strict, []string{
			"", byAnnotation, "E-CONFLICT " + envText + ": overridden by " + annotationText + ", which stands higher",
		}},
		{
			"for the same", requests{ask(annotation(), "0"), ask(env(), "0")}, strict, []string{
				"wins", byAnnotation,
			},
		},
		{"for nothing", requests{ask(annotation(), "0"), nothing(env())}, strict, []string{"wins", "empty"}},
		{"against nothing", requests{nothing(annotation()), ask(env(), "0")}, strict, []string{
			"empty", byAnnotation, "E-CONFLICT " + envText + ": overridden by " + annotationText + ", which stands higher",
		}},
	} {
		test.run(t, engineless())
	}
}

// What the engine serves, nobody takes away, and it overrides what is below it.
func TestServedByTheEngine(t *testing.T) {
	for _, test := range []contested{
		{"alone", requests{served()}, nil, []string{"present"}},
		{"below an annotation", requests{ask(annotation(), "1"), served()}, nil, []string{"wins", "present"}},
		{"above the environment", requests{served(), ask(env(), "1")}, nil, []string{
			"present", "overridden: cdi.k8s.io/x is set, and stands higher",
			lost(envText, `cdi.k8s.io/x=cdi-annotation`),
		}},
		{"a source that does not count", requests{served(), ask(mount(), "1")}, func(c *config.Config) {
			c.Requests.Sources = []string{"mount", "env"}
		}, []string{"present", "wins"}},
	} {
		test.run(t, engineless())
	}
	r := served()
	r.Err = fault.New(fault.Request, "", "nonsense")
	winners, _, err := Contest(config.Defaults(), engineless(), requests{r})
	if err != nil || len(winners) > 0 || r.Status != plan.Present {
		t.Errorf("%v %v %s", winners, err, r.Status)
	}
}
