#!/usr/bin/env python3
"""A TLS server for tests: prints "PORT CA_FILE", answers every POST, sends back what comes behind an upgrade until
that ends with "bye", ends with its standard input.

The certificate is made for the occasion, for "localhost" alone; without the openssl command it exits.
"""
import http.server
import os
import ssl
import subprocess
import sys
import tempfile
import threading
import time


class Answer(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        self.rfile.read(int(self.headers.get("content-length", 0)))
        if self.path.endswith("/slow"):
            time.sleep(2)
        self.send_response(200)
        self.send_header("content-length", "11")
        self.end_headers()
        self.wfile.write(b'{"ok":true}')

    def do_GET(self):
        said = b""
        self.send_response(101)
        self.send_header("sec-websocket-accept", self.headers["authorization"] or "nobody")
        self.end_headers()
        while not said.endswith(b"bye"):
            piece = self.rfile.read1(65536)
            if not piece:
                break
            said = said[-3:] + piece
            self.wfile.write(piece)
        self.close_connection = True

    def log_message(self, *_):
        pass


class Server(http.server.ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request, client_address):
        pass  # a client that does not trust us hangs up


def main():
    with tempfile.TemporaryDirectory(prefix="pk-tls-") as folder:
        key, cert = os.path.join(folder, "key.pem"), os.path.join(folder, "cert.pem")
        subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt",
                        "ec_paramgen_curve:prime256v1", "-nodes", "-keyout", key, "-out", cert,
                        "-days", "2", "-subj", "/CN=localhost",
                        "-addext", "subjectAltName=DNS:localhost"],
                       check=True, stderr=subprocess.DEVNULL)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(cert, key)
        server = Server(("127.0.0.1", 0), Answer)
        server.socket = context.wrap_socket(server.socket, server_side=True,
                                            do_handshake_on_connect=False)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        print(server.server_address[1], cert, flush=True)
        sys.stdin.read()


if __name__ == "__main__":
    main()
