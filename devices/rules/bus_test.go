package rules

import (
	"bufio"
	"encoding/binary"
	"io"
	"net"
	"path/filepath"
	"strings"
	"testing"

	"github.com/godbus/dbus/v5"
	"github.com/google/go-cmp/cmp"
)

// bus is a system bus with a systemd that has one scope.
type bus struct {
	policy policy
	old    bool   // it has no property BPFProgram
	deaf   bool   // it takes a new list and keeps the old one
	asked  string // the path of the unit that it was asked about
	set    []any  // the arguments of SetUnitProperties
}

// unknown is the answer about a property that there is not.
const unknown = "unknown"

// start returns where it is.
func (b *bus) start(t *testing.T) endpoint {
	t.Helper()
	socket := filepath.Join(t.TempDir(), "bus")
	listener, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { listener.Close() })
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			go func() {
				defer conn.Close()
				_ = b.serve(conn) // what goes wrong here fails on the other side
			}()
		}
	}()
	return endpoint{socket, true}
}

// serve lets a client in and answers its calls, until it hangs up.
func (b *bus) serve(conn net.Conn) error {
	in := bufio.NewReader(conn)
	if err := admit(in, conn); err != nil {
		return err
	}
	for {
		call, err := dbus.DecodeMessage(in)
		if err != nil {
			return err
		}
		answer := &dbus.Message{
			Type:    dbus.TypeMethodReply,
			Headers: map[dbus.HeaderField]dbus.Variant{dbus.FieldReplySerial: dbus.MakeVariant(call.Serial())},
		}
		if body := b.answer(call); body == unknown {
			answer.Type = dbus.TypeError
			answer.Headers[dbus.FieldErrorName] = dbus.MakeVariant("org.freedesktop.DBus.Error.UnknownProperty")
		} else if body != nil {
			answer.Body = []any{body}
			answer.Headers[dbus.FieldSignature] = dbus.MakeVariant(dbus.SignatureOf(body))
		}
		if err := answer.EncodeTo(conn, binary.LittleEndian); err != nil {
			return err
		}
	}
}

// admit is the bus's side of D-Bus authentication: anybody is let in.
func admit(in *bufio.Reader, out io.Writer) error {
	for {
		line, err := in.ReadString('\n')
		if err != nil {
			return err
		}
		answer := "ERROR"
		switch command := strings.Trim(line, "\x00\r\n"); {
		case command == "AUTH":
			answer = "REJECTED EXTERNAL"
		case strings.HasPrefix(command, "AUTH EXTERNAL"):
			answer = "OK 0123456789abcdef0123456789abcdef"
		case command == "BEGIN":
			return nil
		}
		if _, err := io.WriteString(out, answer+"\r\n"); err != nil {
			return err
		}
	}
}

// answer returns what a call returns, or nil.
func (b *bus) answer(call *dbus.Message) any {
	switch call.Headers[dbus.FieldMember].Value() {
	case "Hello":
		return ":1.1"
	case "Get":
		path, _ := call.Headers[dbus.FieldPath].Value().(dbus.ObjectPath)
		b.asked = string(path)
		values := map[any]any{
			"ControlGroup": b.policy.group, "DevicePolicy": b.policy.device, "DeviceAllow": b.policy.allow,
		}
		if !b.old {
			values["BPFProgram"] = b.policy.programs
		}
		value, known := values[call.Body[1]]
		if !known {
			return unknown
		}
		return dbus.MakeVariant(value)
	case "SetUnitProperties":
		b.set = call.Body
		if !b.deaf {
			b.policy.allow = append(b.policy.allow, pair{"/dev/char/195:0", "rw"})
		}
	}
	return nil
}

// Systemd's list for a scope is extended only for a scope that has one and is the container's own, whether systemd is
// asked then or was asked before.
func TestTellScope(t *testing.T) {
	t.Run("asked then", func(t *testing.T) { testTellScope(t, false) })
	t.Run("asked before", func(t *testing.T) { testTellScope(t, true) })
}

func testTellScope(t *testing.T, before bool) {
	t.Helper()
	const scope = "/machine.slice/libpod-1.scope"
	old := []pair{{"char-pts", "rwm"}}
	listed := []pair{{"/dev/char/195:0", "rwm"}}
	programs := []pair{{"egress", "/sys/fs/bpf/a"}, {"device", "/sys/fs/bpf/b"}}
	pins := []string{"/sys/fs/bpf/b"}
	for _, test := range []struct {
		name string
		bus  bus
		set  bool
		pins []string
		err  string
	}{
		{"a list", bus{policy: policy{scope, "closed", old, programs}}, true, pins, ""},
		{"an empty list", bus{policy: policy{scope, "strict", nil, nil}}, true, nil, ""},
		{"no list", bus{policy: policy{scope, "auto", nil, programs}}, false, pins, ""},
		{"listed already", bus{policy: policy{scope, "strict", listed, programs}}, false, pins, ""},
		{"a scope of another slice", bus{policy: policy{"/x.slice/libpod-1.scope", "strict", old, programs}}, false, nil, ""},
		{"a scope below this one", bus{policy: policy{scope + "/libpod-1.scope", "strict", old, programs}}, false, nil, ""},
		{"no such scope", bus{policy: policy{"", "auto", nil, nil}}, false, nil, ""},
		{"a systemd without programs", bus{policy: policy{scope, "closed", old, programs}, old: true}, true, nil, ""},
		{
			"a list that stays as it is",
			bus{policy: policy{scope, "strict", old, programs}, deaf: true},
			true, nil,
			"does not list",
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			// systemd's own socket is not there.
			at := []endpoint{{t.TempDir() + "/none", false}, test.bus.start(t)}
			var asked *Question
			if before {
				asked = ask(t.Context(), at, scope)
				defer asked.Close()
			}
			got, err := tellScope(t.Context(), at, asked, scope, []Rule{{"c", 195, 0, "rw"}})
			if (err == nil) != (test.err == "") || err != nil && !strings.Contains(err.Error(), test.err) {
				t.Errorf("got %v", err)
			}
			if diff := cmp.Diff(test.pins, got); diff != "" {
				t.Error(diff)
			}
			if asked := test.bus.asked; asked != "/org/freedesktop/systemd1/unit/libpod_2d1_2escope" {
				t.Errorf("asked about %s", asked)
			}
			var want []any
			if test.set {
				entry := [][]any{{"/dev/char/195:0", "rw"}}
				signature := dbus.SignatureOf([]pair{})
				want = []any{"libpod-1.scope", true, [][]any{{"DeviceAllow", dbus.MakeVariantWithSignature(entry, signature)}}}
			}
			if diff := cmp.Diff(want, test.bus.set, cmp.AllowUnexported(dbus.Variant{}, dbus.Signature{})); diff != "" {
				t.Error(diff)
			}
		})
	}
}
