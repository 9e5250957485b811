package imapkit

// An AuthMechanism names a way to log in.
type AuthMechanism string
