# SPDX-License-Identifier: MIT
"""A private nginx for a test: its sockets are bound here, to ports that are free, and handed over, so that there is nothing to wait for."""
import os
import shutil
import socket
import subprocess

PROGRAM = shutil.which("nginx", path=os.environ.get("PATH", "") + ":/usr/sbin")

CONFIG = """
%(user)s
worker_processes %(workers)d;
daemon off;
pid %(folder)s/pid;
error_log %(folder)s/error.log;
events { worker_connections 512; }
http {
	access_log off;
	sendfile on;
	default_type application/octet-stream;
	client_body_temp_path %(folder)s/t1; proxy_temp_path %(folder)s/t2; fastcgi_temp_path %(folder)s/t3;
	uwsgi_temp_path %(folder)s/t4; scgi_temp_path %(folder)s/t5;
	server { listen 127.0.0.1:%(port)d; root %(root)s; %(extra)s }
	%(tls)s
}
"""
TLS = "server { listen 127.0.0.1:%d ssl http2; ssl_certificate %s/cert.pem; ssl_certificate_key %s/key.pem; root %s; }"


class Nginx:
    """root: the folder it serves. certificate: also by TLS, with a certificate for localhost that is made here (Nginx.cert)."""

    def __init__(self, folder, root, certificate=False, workers=1, extra=""):
        self.folder = os.path.join(folder, "nginx")
        os.mkdir(self.folder)
        sockets = [self.listener() for _ in range(2 if certificate else 1)]
        self.port, self.tls_port = sockets[0].getsockname()[1], sockets[-1].getsockname()[1]
        self.cert = os.path.join(self.folder, "cert.pem")
        if certificate:
            subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2", "-subj", "/CN=localhost",
                            "-addext", "subjectAltName=DNS:localhost", "-keyout", self.folder + "/key.pem", "-out", self.cert], check=True, capture_output=True)
        config = os.path.join(self.folder, "conf")
        with open(config, "w", encoding="utf-8") as f:
            f.write(CONFIG % {"user": "user root;" if os.geteuid() == 0 else "", "workers": workers, "folder": self.folder, "port": self.port, "root": root,
                              "extra": extra, "tls": TLS % (self.tls_port, self.folder, self.folder, root) if certificate else ""})
        fds = [s.fileno() for s in sockets]
        self.process = subprocess.Popen([PROGRAM, "-q", "-p", self.folder, "-e", self.folder + "/error.log", "-c", config], pass_fds=fds,
                                        env={**os.environ, "NGINX": "".join("%d;" % fd for fd in fds)}, stdin=subprocess.DEVNULL)
        for s in sockets:
            s.close()

    @staticmethod
    def listener():
        s = socket.socket()
        s.setblocking(False)            # as nginx makes its own: of two workers that are woken for one connection the other one must not wait for a second
        s.bind(("127.0.0.1", 0))
        s.listen(128)
        return s

    def url(self, path):
        return "http://127.0.0.1:%d/%s" % (self.port, path)

    def tls_url(self, path, host="localhost"):
        return "https://%s:%d/%s" % (host, self.tls_port, path)

    def stop(self):
        self.process.terminate()
        self.process.wait(20)
