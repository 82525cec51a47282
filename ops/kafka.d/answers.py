"""answers.py PORT [TLSDIR]: exit 0 once a broker on 127.0.0.1:PORT lists itself as alive.

A port that accepts is not enough: until the controller has admitted the broker, no topic can be made.
Asks for metadata about no topic (Metadata, version 1) and looks at the number of live brokers.
"""

import socket
import ssl
import struct
import sys


def connect(port, tls):
    sock = socket.create_connection(("127.0.0.1", port), timeout=2)
    if not tls:
        return sock
    context = ssl.create_default_context(cafile=f"{tls}/ca.pem")
    context.load_cert_chain(f"{tls}/admin.pem")
    return context.wrap_socket(sock, server_hostname="127.0.0.1")


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
    with connect(int(sys.argv[1]), sys.argv[2] if len(sys.argv) > 2 else "") as sock:
        sock.sendall(struct.pack(">i", len(request)) + request)
        answer = exactly(sock, struct.unpack(">i", exactly(sock, 4))[0])
    correlation, brokers = struct.unpack(">ii", answer[:8])
    sys.exit(0 if correlation == 1 and brokers >= 1 else 1)
except OSError:
    sys.exit(1)
