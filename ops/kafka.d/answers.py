"""answers.py PORT: exit 0 once a broker on 127.0.0.1:PORT lists itself as alive.

A port that accepts is not enough: until the controller has admitted the broker, no topic can be made.
Asks for metadata about no topic (Metadata, version 1) and looks at the number of live brokers.
"""

import socket
import struct
import sys


def exactly(sock, count):
    data = b""
    while len(data) < count:
        part = sock.recv(count - len(data))
        if not part:
            raise ConnectionError("closed")
        data += part
    return data


client = b"daicho-ops"
request = struct.pack(">hhih", 3, 1, 1, len(client)) + client + struct.pack(">i", 0)
try:
    with socket.create_connection(("127.0.0.1", int(sys.argv[1])), timeout=2) as sock:
        sock.sendall(struct.pack(">i", len(request)) + request)
        answer = exactly(sock, struct.unpack(">i", exactly(sock, 4))[0])
    correlation, brokers = struct.unpack(">ii", answer[:8])
    sys.exit(0 if correlation == 1 and brokers >= 1 else 1)
except OSError:
    sys.exit(1)
