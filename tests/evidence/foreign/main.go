// A verifier that shares no code with Interlock: Go's checksum database packages and the standard library.
//
// It reads one JSON object from standard input and checks every part of it that is there; it prints "ok" or says what is
// wrong and exits with 1. With "sign" it makes a key, signs that text and prints vkey and note instead.
package main

import (
	"bytes"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

type request struct {
	Vkey     string
	Sign     string
	Proof    string // a tlog-proof, of Leaf
	Leaf     []byte
	Old, New string      // signed heads
	Path     []tlog.Hash // from Old to New
	Ledger   []byte      // an export, checked against Heads
	Heads    []byte
	Envelope []byte // DSSE
}

func main() {
	var asked request
	err := json.NewDecoder(os.Stdin).Decode(&asked)
	if err == nil && asked.Sign != "" {
		err = sign(asked.Sign)
	} else if err == nil {
		err = verify(asked)
	}
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
}

func sign(text string) error {
	skey, vkey, err := note.GenerateKey(rand.Reader, "go.example/log")
	if err != nil {
		return err
	}
	signer, err := note.NewSigner(skey)
	if err != nil {
		return err
	}
	signed, err := note.Sign(&note.Note{Text: text}, signer)
	if err != nil {
		return err
	}
	return json.NewEncoder(os.Stdout).Encode(map[string]string{"vkey": vkey, "note": string(signed)})
}

func verify(asked request) error {
	verifier, err := note.NewVerifier(asked.Vkey)
	if err != nil {
		return err
	}
	known := note.VerifierList(verifier)
	if asked.Proof != "" {
		if err := checkProof(asked, known); err != nil {
			return err
		}
	}
	if asked.New != "" {
		if err := checkConsistency(asked, known); err != nil {
			return err
		}
	}
	if asked.Ledger != nil {
		if err := checkExport(asked, known); err != nil {
			return err
		}
	}
	if asked.Envelope != nil {
		if err := checkEnvelope(asked); err != nil {
			return err
		}
	}
	fmt.Println("ok")
	return nil
}

// openHead opens a signed head and reads its size and root.
func openHead(text string, known note.Verifiers) (size int64, root tlog.Hash, err error) {
	opened, err := note.Open([]byte(text), known)
	if err != nil {
		return 0, root, err
	}
	lines := strings.Split(opened.Text, "\n")
	if len(lines) != 4 {
		return 0, root, errors.New("a head has three lines")
	}
	if size, err = strconv.ParseInt(lines[1], 10, 64); err != nil {
		return 0, root, err
	}
	root, err = tlog.ParseHash(lines[2])
	return size, root, err
}

func checkProof(asked request, known note.Verifiers) error {
	cut := strings.Index(asked.Proof, "\n\n")
	if cut < 0 {
		return errors.New("a proof has a blank line")
	}
	size, root, err := openHead(asked.Proof[cut+2:], known)
	if err != nil {
		return err
	}
	lines := strings.Split(asked.Proof[:cut], "\n")
	if len(lines) < 2 || lines[0] != "c2sp.org/tlog-proof@v1" {
		return errors.New("not a tlog-proof")
	}
	index, err := strconv.ParseInt(strings.TrimPrefix(lines[1], "index "), 10, 64)
	if err != nil {
		return err
	}
	var path tlog.RecordProof
	for _, line := range lines[2:] {
		hash, err := tlog.ParseHash(line)
		if err != nil {
			return err
		}
		path = append(path, hash)
	}
	return tlog.CheckRecord(path, size, root, index, tlog.RecordHash(asked.Leaf))
}

func checkConsistency(asked request, known note.Verifiers) error {
	oldSize, oldRoot, err := openHead(asked.Old, known)
	if err != nil {
		return err
	}
	newSize, newRoot, err := openHead(asked.New, known)
	if err != nil {
		return err
	}
	return tlog.CheckTree(asked.Path, newSize, newRoot, oldSize, oldRoot)
}

// checkExport builds the tree over the ledger's events, as they stand there byte for byte, and holds every head against it.
func checkExport(asked request, known note.Verifiers) error {
	var stored []tlog.Hash
	reader := tlog.HashReaderFunc(func(indexes []int64) ([]tlog.Hash, error) {
		found := make([]tlog.Hash, len(indexes))
		for i, index := range indexes {
			found[i] = stored[index]
		}
		return found, nil
	})
	for index, line := range bytes.Split(bytes.TrimSuffix(asked.Ledger, []byte("\n")), []byte("\n")) {
		var entry struct {
			Event    json.RawMessage
			Index    int
			LeafHash string `json:"leaf_hash"`
		}
		if err := json.Unmarshal(line, &entry); err != nil {
			return err
		}
		leaf := tlog.RecordHash(entry.Event)
		if entry.Index != index || entry.LeafHash != hex.EncodeToString(leaf[:]) {
			return fmt.Errorf("line %d does not fit its event", index+1)
		}
		hashes, err := tlog.StoredHashesForRecordHash(int64(index), leaf, reader)
		if err != nil {
			return err
		}
		stored = append(stored, hashes...)
	}
	for number, line := range bytes.Split(bytes.TrimSuffix(asked.Heads, []byte("\n")), []byte("\n")) {
		var head struct{ Note string }
		if err := json.Unmarshal(line, &head); err != nil {
			return err
		}
		size, root, err := openHead(head.Note, known)
		if err != nil {
			return err
		}
		found, err := tlog.TreeHash(size, reader)
		if err != nil || found != root {
			return fmt.Errorf("head %d is not the ledger's", number+1)
		}
	}
	return nil
}

func checkEnvelope(asked request) error {
	var envelope struct {
		Payload     []byte
		PayloadType string
		Signatures  []struct{ Sig []byte }
	}
	if err := json.Unmarshal(asked.Envelope, &envelope); err != nil {
		return err
	}
	key, err := base64.StdEncoding.DecodeString(strings.SplitN(asked.Vkey, "+", 3)[2])
	if err != nil {
		return err
	}
	message := fmt.Sprintf("DSSEv1 %d %s %d %s", len(envelope.PayloadType), envelope.PayloadType, len(envelope.Payload), envelope.Payload)
	if len(envelope.Signatures) != 1 || !ed25519.Verify(key[1:], []byte(message), envelope.Signatures[0].Sig) {
		return errors.New("the envelope's signature does not fit")
	}
	return nil
}
