package hosts

import (
	"fmt"
	"strings"
	"text/tabwriter"
)

// render returns the table of verdicts, and what they come to.
func render(verdicts []*verdict) string {
	var b strings.Builder
	w := tabwriter.NewWriter(&b, 0, 4, 2, ' ', 0)
	_, _ = fmt.Fprintln(w, "host\truntime\tread in\tcause\tfix followed\tGPU\tdoctor before\tnames it\tdoctor after"+
		"\texplain agrees")
	for _, v := range verdicts {
		followed := fmt.Sprintf("%d as written", len(v.fixes))
		if !v.written {
			followed = fmt.Sprintf("%d in words", len(v.fixes))
		}
		cause := yes(v.cause)
		if v.serves {
			cause, followed = "-", "none is needed"
		}
		_, _ = fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\n", v.name, v.runtime, v.where, cause, followed,
			yes(v.gpu), v.before, yes(v.named), v.after, yes(v.explained))
	}
	_ = w.Flush()
	return b.String() + "\n" + total(verdicts)
}

// total returns what the verdicts come to.
func total(verdicts []*verdict) string {
	count := func(is func(*verdict) bool) (n int) {
		for _, v := range verdicts {
			if is(v) {
				n++
			}
		}
		return n
	}
	return fmt.Sprintf("%d of %d all well: cause named %d, a fix to follow %d, GPU after it %d, "+
		"doctor finds it before %d, names the cause %d, finds nothing after %d, explain agrees %d\n",
		count((*verdict).good), len(verdicts), count(func(v *verdict) bool { return v.cause || v.serves }),
		count(func(v *verdict) bool { return len(v.fixes) > 0 || v.serves }), count(func(v *verdict) bool { return v.gpu }),
		count(func(v *verdict) bool { return v.before != healthy || v.mistake }),
		count(func(v *verdict) bool { return v.named }), count(func(v *verdict) bool { return v.after != failing }),
		count(func(v *verdict) bool { return v.explained }))
}

func yes(is bool) string {
	if is {
		return "yes"
	}
	return "NO"
}
