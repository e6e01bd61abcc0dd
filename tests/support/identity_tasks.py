# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What tasks run in tests of identities, in the image with Python: TLS with X.509-SVIDs, and the review of tokens."""

SERVER = """
import socket, ssl
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain("/svid/svid.0.pem", "/svid/svid.0.key")
context.load_verify_locations("/svid/bundle.0.pem")
context.verify_mode = ssl.CERT_REQUIRED
listener = socket.create_server(("", 8443))
while True:
    connection, _address = listener.accept()
    try:
        with context.wrap_socket(connection, server_side=True) as tls:
            peer = [value for kind, value in tls.getpeercert()["subjectAltName"] if kind == "URI"]
            tls.sendall(f"hello {peer[0]}".encode())
    except OSError as error:
        print("refused", error, flush=True)
"""
CLIENT = """
import socket, ssl, sys
context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
context.check_hostname = False  # a SPIFFE ID is not a host name
context.load_verify_locations("/svid/bundle.0.pem")
if sys.argv[2] == "with":
    context.load_cert_chain("/svid/svid.0.pem", "/svid/svid.0.key")
with context.wrap_socket(socket.create_connection((sys.argv[1], 8443), 20)) as tls:
    print("server", tls.getpeercert()["subjectAltName"])
    try:
        print(tls.recv(200).decode())
    except OSError as error:
        print("refused", error)
"""
# Verifies the token in $TOKEN: by a TokenReview, and by the keys of the API server (RFC 7518: RS256 or ES256; FIPS 186-5, section 6.4.2).
REVIEW = """
import base64, hashlib, json, os, ssl, sys, urllib.error, urllib.request
own = "/var/run/secrets/kubernetes.io/serviceaccount"
context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
context.load_verify_locations(f"{own}/ca.crt")
token, audience = os.environ["TOKEN"], sys.argv[1]

def send(path, body=None):
    headers = {"Authorization": "Bearer " + open(f"{own}/token").read(), "Content-Type": "application/json"}
    request = urllib.request.Request("https://kubernetes.default.svc" + path, headers=headers, data=json.dumps(body).encode() if body else None)
    try:
        return json.load(urllib.request.urlopen(request, context=context, timeout=20))
    except urllib.error.HTTPError as error:
        return {"status": {"error": error.code}}

def decode(text):
    return base64.urlsafe_b64decode(text + "==")

review = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenReview", "spec": {"token": token, "audiences": [audience]}}
status = send("/apis/authentication.k8s.io/v1/tokenreviews", review)["status"]
header, claims, signature = token.split(".")
key = next(key for key in send("/openid/v1/jwks")["keys"] if key["kid"] == json.loads(decode(header))["kid"])
number = lambda data: int.from_bytes(data, "big")
message, signature = hashlib.sha256(f"{header}.{claims}".encode()).digest(), decode(signature)

def valid_rsa():
    modulus, exponent = (number(decode(key[part])) for part in "ne")
    size = (modulus.bit_length() + 7) // 8
    digest = bytes.fromhex("3031300d060960864801650304020105000420") + message
    expected = bytes([0, 1]) + bytes([255]) * (size - len(digest) - 3) + bytes([0]) + digest
    return pow(number(signature), exponent, modulus).to_bytes(size, "big") == expected

def valid_ecdsa():
    p = 2**256 - 2**224 + 2**192 + 2**96 - 1
    order = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
    base = (
        0x6B17D1F2E12C4247F8BCE6E563A440F277037D812DEB33A0F4A13945D898C296,
        0x4FE342E2FE1A7F9B8EE7EB4A7C0F9E162BCE33576B315ECECBB6406837BF51F5,
    )

    def add(first, second):
        if first is None or second is None:
            return first or second
        if first[0] == second[0] and (first[1] + second[1]) % p == 0:
            return None
        if first == second:
            slope = (3 * first[0] ** 2 - 3) * pow(2 * first[1], -1, p)
        else:
            slope = (second[1] - first[1]) * pow(second[0] - first[0], -1, p)
        x = (slope**2 - first[0] - second[0]) % p
        return x, (slope * (first[0] - x) - first[1]) % p

    def multiply(point, factor):
        total = None
        while factor:
            total = add(total, point) if factor & 1 else total
            point, factor = add(point, point), factor >> 1
        return total

    r, s = number(signature[:32]), number(signature[32:])
    inverse = pow(s, -1, order)
    point = (number(decode(key["x"])), number(decode(key["y"])))
    return add(multiply(base, number(message) * inverse % order), multiply(point, r * inverse % order))[0] % order == r

valid = valid_rsa() if key["kty"] == "RSA" else valid_ecdsa()
claims = json.loads(decode(claims))
lifetime = claims["exp"] - claims["iat"]
user = status.get("user", {}).get("username")
print(json.dumps({"user": user, "error": status.get("error"), "audience": claims["aud"], "lifetime": lifetime, "signature": valid}))
"""
