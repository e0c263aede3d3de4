package rules

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/godbus/dbus/v5"
)

// endpoint is a socket at which systemd can be asked by D-Bus.
type endpoint struct {
	socket string
	bus    bool // systemd is one of many on a bus, to which a client has to say hello
}

// endpoints are those at which systemd is asked, the best first: its own socket, which is for root alone and spares the
// way through the bus's daemon, and the system bus. As for every D-Bus client, the address of that one can be set; here
// it can only be that of a socket with a path.
func endpoints() []endpoint {
	bus := "/run/dbus/system_bus_socket"
	address := os.Getenv("DBUS_SYSTEM_BUS_ADDRESS") //nolint:forbidigo // the runtime may set it for its hooks
	if other, ok := strings.CutPrefix(address, "unix:path="); ok {
		bus = other
	}
	return []endpoint{{"/run/systemd/private", false}, {bus, true}}
}

// manager is a connection to systemd. Messages are encoded and decoded by the D-Bus library. But the library's own
// connection authenticates in five turns with the other side, and go-systemd opens two of them: that took 4 ms of a
// start, in which systemd is asked and told in three turns here.
type manager struct {
	conn    net.Conn
	in      *bufio.Reader
	serial  uint32 // of the last message that was sent
	release func() bool
}

// connect connects to the first endpoint that lets us in, until ctx ends.
func connect(ctx context.Context, at []endpoint) (*manager, error) {
	var errs []error
	for _, e := range at {
		m, err := e.connect(ctx)
		if err == nil {
			return m, nil
		}
		errs = append(errs, err)
	}
	return nil, fmt.Errorf("connect to systemd: %w", errors.Join(errs...))
}

func (e endpoint) connect(ctx context.Context) (*manager, error) {
	var dialer net.Dialer
	conn, err := dialer.DialContext(ctx, "unix", e.socket)
	if err != nil {
		return nil, err
	}
	m := &manager{conn: conn, in: bufio.NewReader(conn)}
	m.until(ctx)
	err = m.authenticate()
	if err == nil && e.bus {
		_, err = m.ask(call("org.freedesktop.DBus", "/org/freedesktop/DBus", "org.freedesktop.DBus", "Hello"))
	}
	if err != nil {
		m.close()
		return nil, fmt.Errorf("%s: %w", e.socket, err)
	}
	return m, nil
}

// until makes ctx the one that ends the connection, instead of the one before. It returns false if that has ended.
func (m *manager) until(ctx context.Context) bool {
	if m.release != nil && !m.release() {
		return false
	}
	m.release = context.AfterFunc(ctx, func() { _ = m.conn.SetDeadline(time.Unix(0, 1)) })
	return true
}

func (m *manager) close() {
	m.release()
	_ = m.conn.Close()
}

// authenticate says who we are, which the other side compares with what the kernel tells it.
func (m *manager) authenticate() error {
	uid := hex.EncodeToString([]byte(strconv.Itoa(os.Geteuid())))
	if _, err := fmt.Fprintf(m.conn, "\x00AUTH EXTERNAL %s\r\nBEGIN\r\n", uid); err != nil {
		return err
	}
	answer, err := m.in.ReadSlice('\n')
	if err != nil {
		return err
	}
	if !bytes.HasPrefix(answer, []byte("OK ")) {
		return fmt.Errorf("authentication answered by %q", bytes.TrimSpace(answer))
	}
	return nil
}

// call returns the message that calls a method. The arguments are of the types that the D-Bus library encodes.
func call(destination, path, iface, method string, arguments ...any) *dbus.Message {
	m := &dbus.Message{
		Type: dbus.TypeMethodCall,
		Headers: map[dbus.HeaderField]dbus.Variant{
			dbus.FieldDestination: dbus.MakeVariant(destination),
			dbus.FieldPath:        dbus.MakeVariant(dbus.ObjectPath(path)),
			dbus.FieldInterface:   dbus.MakeVariant(iface),
			dbus.FieldMember:      dbus.MakeVariant(method),
		},
		Body: arguments,
	}
	if len(arguments) > 0 {
		m.Headers[dbus.FieldSignature] = dbus.MakeVariant(dbus.SignatureOf(arguments...))
	}
	return m
}

// ask sends the calls at once and returns the answers in their order, errors of the other side among them. The calls
// are carried out one after the other.
func (m *manager) ask(calls ...*dbus.Message) ([]*dbus.Message, error) {
	var out bytes.Buffer
	first := m.serial + 1
	for _, c := range calls {
		start := out.Len()
		if err := c.EncodeTo(&out, binary.LittleEndian); err != nil {
			return nil, err
		}
		// The library numbers only what its own connection sends. The number is the third word of a message.
		m.serial++
		binary.LittleEndian.PutUint32(out.Bytes()[start+8:], m.serial)
	}
	if _, err := m.conn.Write(out.Bytes()); err != nil {
		return nil, err
	}
	answers := make([]*dbus.Message, len(calls))
	for missing := len(calls); missing > 0; {
		answer, err := dbus.DecodeMessage(m.in)
		if err != nil {
			return nil, err
		}
		// Anything else is a signal, which is not for us.
		to, ok := answer.Headers[dbus.FieldReplySerial].Value().(uint32)
		if i := to - first; ok && i < uint32(len(calls)) && answers[i] == nil { //nolint:gosec // a handful
			answers[i] = answer
			missing--
		}
	}
	return answers, nil
}

// failure returns the error that an answer is, or nil.
func failure(answer *dbus.Message) error {
	if answer.Type != dbus.TypeError {
		return nil
	}
	name, _ := answer.Headers[dbus.FieldErrorName].Value().(string)
	return dbus.Error{Name: name, Body: answer.Body}
}

// unitPath returns the D-Bus object of a unit: each byte of its name that is no letter or digit is escaped.
func unitPath(unit string) string {
	var b strings.Builder
	b.WriteString("/org/freedesktop/systemd1/unit/")
	for i := range len(unit) {
		c := unit[i]
		letter := 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z'
		if letter || i > 0 && '0' <= c && c <= '9' {
			b.WriteByte(c)
		} else {
			fmt.Fprintf(&b, "_%02x", c)
		}
	}
	return b.String()
}
