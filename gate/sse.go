package gate

import (
	"bufio"
	"bytes"
	"errors"
	"io"
)

// maxEvent bounds one server-sent event, and each of its lines.
const maxEvent = 64 << 10

var errLargeEvent = errors.New("gate: feed: event of more than 64 KiB")

// message is one server-sent event (WHATWG HTML, section 9.2).
type message struct {
	id    string // the last "id" of the stream so far
	event string
	data  []byte
}

// eventReader reads server-sent events. Lines end in LF or CRLF.
type eventReader struct {
	r    *bufio.Reader
	id   string
	tick func() // called for each line, comments included
}

func newEventReader(r io.Reader, tick func()) *eventReader {
	return &eventReader{r: bufio.NewReaderSize(r, maxEvent), tick: tick}
}

// next returns the next event that has data or a name of its own. A stream that
// stops within an event drops it and gives io.EOF.
func (er *eventReader) next() (message, error) {
	var m message
	for {
		line, err := er.line()
		if err != nil {
			return message{}, err
		}
		if len(line) > 0 {
			if err := er.field(&m, line); err != nil {
				return message{}, err
			}
			continue
		}
		if m.data != nil || m.event != "" {
			m.id = er.id
			m.data = bytes.TrimSuffix(m.data, []byte("\n"))
			return m, nil
		}
	}
}

func (er *eventReader) line() ([]byte, error) {
	line, err := er.r.ReadSlice('\n')
	if errors.Is(err, bufio.ErrBufferFull) {
		return nil, errLargeEvent
	}
	if err != nil {
		return nil, err
	}
	er.tick()
	return bytes.TrimSuffix(line[:len(line)-1], []byte("\r")), nil
}

func (er *eventReader) field(m *message, line []byte) error {
	name, value, _ := bytes.Cut(line, []byte(":"))
	value = bytes.TrimPrefix(value, []byte(" "))
	switch string(name) {
	case "id":
		if !bytes.ContainsRune(value, 0) {
			er.id = string(value)
		}
	case "event":
		m.event = string(value)
	case "data":
		if len(m.data)+len(value) >= maxEvent {
			return errLargeEvent
		}
		m.data = append(append(m.data, value...), '\n')
	}
	return nil
}
