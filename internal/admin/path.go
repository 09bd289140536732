package admin

import (
	"fmt"
	"os"
	"path/filepath"
)

// maxPath is how long a socket's path may be on every system, in bytes.
const maxPath = 100

// shortPath is another name for a socket whose path is longer than sockets'
// paths may be: through its open folder. The name is good until release.
func shortPath(socket string) (path string, release func(), err error) {
	if len(socket) <= maxPath {
		return socket, func() {}, nil
	}
	folder, err := os.Open(filepath.Dir(socket))
	if err != nil {
		return "", nil, err
	}
	return fmt.Sprintf("/proc/self/fd/%d/%s", folder.Fd(), filepath.Base(socket)), func() { folder.Close() }, nil
}
