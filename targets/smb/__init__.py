"""SMB hosts: an SMB 2 and 3 responder that goes as far as a login scanner does.

It negotiates, checks NTLMv2 for real, signs, connects trees and opens pipes; there are no files behind its shares.
`wire` and `ntlm` turn bytes into values and back, `signing` and `spnego` are what their names say, `conversation` is
one connection without a socket, `host` the sockets.
"""
