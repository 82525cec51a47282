// Daicho-verify is a stranger's look at a ledger: it knows the C2SP formats, the log's key and the witnesses'
// keys, and nothing of Daichō. Two libraries that know nothing of each other check every claim:
// golang.org/x/mod/sumdb (note, tlog) and github.com/transparency-dev/merkle.
//
//	daicho-verify -log VKEY [-witness VKEY]… [-quorum N] [-checkpoint FILE]… [-proof FILE]… [-sample N] DIR|URL
//
// DIR or URL holds checkpoint, tile/<L>/<N>[.p/<W>] and tile/entries/<N>[.p/<W>]. Exit status 1: something is
// not as claimed.
package main

import (
	"encoding/base64"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/transparency-dev/merkle/compact"
	"github.com/transparency-dev/merkle/proof"
	"github.com/transparency-dev/merkle/rfc6962"
	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

const tileHeight = 8
const tileWidth = 1 << tileHeight

type list []string

func (l *list) String() string     { return strings.Join(*l, " ") }
func (l *list) Set(s string) error { *l = append(*l, s); return nil }

// --- where it lies

type source func(path string) ([]byte, error)

func open(where string) source {
	if !strings.HasPrefix(where, "http://") && !strings.HasPrefix(where, "https://") {
		return func(path string) ([]byte, error) {
			return os.ReadFile(filepath.Join(where, filepath.FromSlash(path)))
		}
	}
	client := &http.Client{Timeout: 30 * time.Second}
	return func(path string) ([]byte, error) {
		answer, err := client.Get(strings.TrimSuffix(where, "/") + "/" + path)
		if err != nil {
			return nil, err
		}
		defer answer.Body.Close()
		body, err := io.ReadAll(io.LimitReader(answer.Body, 32<<20))
		if err == nil && answer.StatusCode != http.StatusOK {
			err = fmt.Errorf("%s: status %d", path, answer.StatusCode)
		}
		return body, err
	}
}

// Tiles as tlog.TileHashReader asks for them, each fetched once.
type tiles struct {
	from  source
	known map[tlog.Tile][]byte
}

func (t *tiles) Height() int                                { return tileHeight }
func (t *tiles) SaveTiles(tiles []tlog.Tile, data [][]byte) {}
func (t *tiles) ReadTiles(wanted []tlog.Tile) ([][]byte, error) {
	out := make([][]byte, len(wanted))
	for i, tile := range wanted {
		data, ok := t.known[tile]
		if !ok {
			var err error
			// x/mod writes the height into the path, C2SP does not.
			data, err = t.from(strings.Replace(tile.Path(), "tile/8/", "tile/", 1))
			if err != nil {
				return nil, err
			}
			t.known[tile] = data
		}
		out[i] = data
	}
	return out, nil
}

// --- checkpoints

type checkpoint struct {
	size      int64
	root      tlog.Hash
	witnesses int
}

func readCheckpoint(msg []byte, log note.Verifier, witnesses []note.Verifier, quorum int) (checkpoint, error) {
	var out checkpoint
	n, err := note.Open(msg, note.VerifierList(append([]note.Verifier{log}, witnesses...)...))
	if err != nil {
		return out, err
	}
	signed := false
	for _, s := range n.Sigs {
		if s.Name == log.Name() && s.Hash == log.KeyHash() {
			signed = true
		} else {
			out.witnesses++
		}
	}
	lines := strings.Split(n.Text, "\n")
	if !signed || len(lines) < 4 || lines[0] != log.Name() {
		return out, errors.New("not a checkpoint of this log")
	}
	if out.size, err = strconv.ParseInt(lines[1], 10, 64); err != nil {
		return out, err
	}
	root, err := base64.StdEncoding.DecodeString(lines[2])
	if err != nil || len(root) != tlog.HashSize {
		return out, errors.New("no root hash")
	}
	copy(out.root[:], root)
	if out.witnesses < quorum {
		return out, fmt.Errorf("%d cosignatures, %d are needed", out.witnesses, quorum)
	}
	return out, nil
}

// --- the tree

type ledger struct {
	from   source
	head   checkpoint
	tiles  *tiles
	hashes tlog.HashReader
	leaves []tlog.Hash
}

func hashAt(tile []byte, i int) (out tlog.Hash) {
	copy(out[:], tile[i*tlog.HashSize:])
	return out
}

// The root over a full tile.
func tileRoot(tile []byte) tlog.Hash {
	hashes := make([]tlog.Hash, tileWidth)
	for i := range hashes {
		hashes[i] = hashAt(tile, i)
	}
	for ; len(hashes) > 1; hashes = hashes[:len(hashes)/2] {
		for i := 0; i < len(hashes); i += 2 {
			hashes[i/2] = tlog.NodeHash(hashes[i], hashes[i+1])
		}
	}
	return hashes[0]
}

// Every tile there must be is as long as it must be, and above level 0 holds the roots of those below it.
// Level 0 is held against the entries, and these against the checkpoint. (tlog.TileHashReader, up to x/mod
// v0.17 at least, leaves some of the tiles that it reads unauthenticated.)
func (l *ledger) checkTiles() (int, error) {
	needed := tlog.NewTiles(tileHeight, 0, l.head.size)
	for _, tile := range needed {
		data, err := l.tiles.ReadTiles([]tlog.Tile{tile})
		if err != nil {
			return 0, err
		}
		if len(data[0]) != tile.W*tlog.HashSize {
			return 0, fmt.Errorf("%s: %d bytes", tile.Path(), len(data[0]))
		}
		for i := 0; tile.L > 0 && i < tile.W; i++ {
			below := tlog.Tile{H: tileHeight, L: tile.L - 1, N: tile.N*tileWidth + int64(i), W: tileWidth}
			child, err := l.tiles.ReadTiles([]tlog.Tile{below})
			if err != nil {
				return 0, err
			}
			if len(child[0]) != tileWidth*tlog.HashSize || hashAt(data[0], i) != tileRoot(child[0]) {
				return 0, fmt.Errorf("%s: hash %d is not the root over %s", tile.Path(), i, below.Path())
			}
		}
	}
	return len(needed), nil
}

func splitBundle(bundle []byte) ([][]byte, error) {
	var out [][]byte
	for len(bundle) > 0 {
		if len(bundle) < 2 {
			return nil, errors.New("ends inside a length")
		}
		size := int(bundle[0])<<8 | int(bundle[1])
		if len(bundle) < 2+size {
			return nil, errors.New("ends inside an entry")
		}
		out = append(out, bundle[2:2+size])
		bundle = bundle[2+size:]
	}
	return out, nil
}

// Every entry: its leaf hash is the one in the tiles, and all of them give the root.
func (l *ledger) checkEntries() error {
	factory := compact.RangeFactory{Hash: rfc6962.DefaultHasher.HashChildren}
	all := factory.NewEmptyRange(0)
	for n := int64(0); n*tileWidth < l.head.size; n++ {
		tile := tlog.Tile{H: tileHeight, L: -1, N: n, W: tileWidth}
		if left := l.head.size - n*tileWidth; left < tileWidth {
			tile.W = int(left)
		}
		path := strings.Replace(tile.Path(), "tile/8/data/", "tile/entries/", 1)
		bundle, err := l.from(path)
		if err != nil {
			return err
		}
		entries, err := splitBundle(bundle)
		if err != nil || len(entries) != tile.W {
			return fmt.Errorf("%s: %d entries for %d (%v)", path, len(entries), tile.W, err)
		}
		hashes, err := l.tiles.ReadTiles([]tlog.Tile{{H: tileHeight, L: 0, N: n, W: tile.W}})
		if err != nil {
			return err
		}
		for i, entry := range entries {
			index := n*tileWidth + int64(i)
			hash := tlog.RecordHash(entry)
			if hashAt(hashes[0], i) != hash || string(hash[:]) != string(rfc6962.DefaultHasher.HashLeaf(entry)) {
				return fmt.Errorf("entry %d is not the leaf that the tree holds", index)
			}
			l.leaves = append(l.leaves, hash)
			if err := all.Append(hash[:], nil); err != nil {
				return err
			}
		}
	}
	root, err := all.GetRootHash(nil)
	if l.head.size == 0 {
		root, err = rfc6962.DefaultHasher.EmptyRoot(), nil
	}
	if err != nil || string(root) != string(l.head.root[:]) {
		return fmt.Errorf("the entries do not give the checkpoint's root (%v)", err)
	}
	return nil
}

func bytesOf(hashes []tlog.Hash) [][]byte {
	out := make([][]byte, len(hashes))
	for i := range hashes {
		out[i] = hashes[i][:]
	}
	return out
}

// Both libraries.
func checkInclusion(path []tlog.Hash, in checkpoint, index int64, leaf tlog.Hash) error {
	if err := tlog.CheckRecord(path, in.size, in.root, index, leaf); err != nil {
		return fmt.Errorf("x/mod: %w", err)
	}
	err := proof.VerifyInclusion(rfc6962.DefaultHasher, uint64(index), uint64(in.size), leaf[:], bytesOf(path), in.root[:])
	if err != nil {
		return fmt.Errorf("transparency-dev: %w", err)
	}
	return nil
}

func (l *ledger) checkInclusions(sample int64) (int, error) {
	step := int64(1)
	if sample > 0 && l.head.size > sample {
		step = l.head.size / sample
	}
	checked := 0
	for index := int64(0); index < l.head.size; index += step {
		path, err := tlog.ProveRecord(l.head.size, index, l.hashes)
		if err == nil {
			err = checkInclusion(path, l.head, index, l.leaves[index])
		}
		if err != nil {
			return checked, fmt.Errorf("inclusion of %d: %w", index, err)
		}
		checked++
	}
	return checked, nil
}

// Between every two checkpoints, in both libraries.
func (l *ledger) checkConsistency(points []checkpoint) (int, error) {
	checked := 0
	for _, a := range points {
		for _, b := range points {
			if a.size > b.size || a.size == 0 {
				continue
			}
			path, err := tlog.ProveTree(b.size, a.size, l.hashes)
			if err == nil {
				err = tlog.CheckTree(path, b.size, b.root, a.size, a.root)
			}
			if err == nil {
				err = proof.VerifyConsistency(rfc6962.DefaultHasher, uint64(a.size), uint64(b.size), bytesOf(path), a.root[:], b.root[:])
			}
			if err != nil {
				return checked, fmt.Errorf("consistency of %d with %d: %w", a.size, b.size, err)
			}
			checked++
		}
	}
	return checked, nil
}

// A .tlog-proof: c2sp.org/tlog-proof.
func (l *ledger) checkProof(text []byte, log note.Verifier, witnesses []note.Verifier, quorum int) error {
	head, signed, found := strings.Cut(string(text), "\n\n")
	lines := strings.Split(head, "\n")
	if !found || lines[0] != "c2sp.org/tlog-proof@v1" {
		return errors.New("no tlog-proof")
	}
	lines = lines[1:]
	if len(lines) > 0 && strings.HasPrefix(lines[0], "extra ") {
		lines = lines[1:]
	}
	if len(lines) == 0 || !strings.HasPrefix(lines[0], "index ") {
		return errors.New("no index")
	}
	index, err := strconv.ParseInt(lines[0][len("index "):], 10, 64)
	if err != nil || index < 0 || index >= int64(len(l.leaves)) {
		return errors.New("index beyond the ledger")
	}
	path := make([]tlog.Hash, 0, len(lines)-1)
	for _, line := range lines[1:] {
		hash, err := tlog.ParseHash(line)
		if err != nil {
			return err
		}
		path = append(path, hash)
	}
	in, err := readCheckpoint([]byte(signed), log, witnesses, quorum)
	if err != nil {
		return err
	}
	if err := checkInclusion(path, in, index, l.leaves[index]); err != nil {
		return err
	}
	_, err = l.checkConsistency([]checkpoint{in, l.head})
	return err
}

func run() error {
	var witnessKeys, checkpointFiles, proofFiles list
	logKey := flag.String("log", "", "the log's `vkey`")
	quorum := flag.Int("quorum", 0, "cosignatures that each checkpoint must have")
	sample := flag.Int64("sample", 0, "inclusion proofs of about so many entries; 0: of all")
	flag.Var(&witnessKeys, "witness", "a witness's `vkey`; may be repeated")
	flag.Var(&checkpointFiles, "checkpoint", "an earlier checkpoint's `file`; may be repeated")
	flag.Var(&proofFiles, "proof", "a .tlog-proof `file`; may be repeated")
	flag.Parse()
	if flag.NArg() != 1 {
		return errors.New("give one directory or URL")
	}
	log, err := note.NewVerifier(*logKey)
	if err != nil {
		return fmt.Errorf("-log: %w", err)
	}
	var witnesses []note.Verifier
	for _, key := range witnessKeys {
		w, err := newCosignatureVerifier(key)
		if err != nil {
			return fmt.Errorf("-witness %s: %w", key, err)
		}
		witnesses = append(witnesses, w)
	}

	from := open(flag.Arg(0))
	newest, err := from("checkpoint")
	if err != nil {
		return err
	}
	l := &ledger{from: from, tiles: &tiles{from: from, known: map[tlog.Tile][]byte{}}}
	if l.head, err = readCheckpoint(newest, log, witnesses, *quorum); err != nil {
		return fmt.Errorf("checkpoint: %w", err)
	}
	l.hashes = tlog.TileHashReader(tlog.Tree{N: l.head.size, Hash: l.head.root}, l.tiles)
	tileCount, err := l.checkTiles()
	if err != nil {
		return err
	}
	if err := l.checkEntries(); err != nil {
		return err
	}
	inclusions, err := l.checkInclusions(*sample)
	if err != nil {
		return err
	}
	points := []checkpoint{l.head}
	for _, file := range checkpointFiles {
		text, err := os.ReadFile(file)
		if err != nil {
			return err
		}
		point, err := readCheckpoint(text, log, witnesses, 0)
		if err == nil && point.size > l.head.size {
			err = fmt.Errorf("is of %d entries, beyond the newest", point.size)
		}
		if err != nil {
			return fmt.Errorf("%s: %w", file, err)
		}
		points = append(points, point)
	}
	consistencies, err := l.checkConsistency(points)
	if err != nil {
		return err
	}
	for _, file := range proofFiles {
		text, err := os.ReadFile(file)
		if err == nil {
			err = l.checkProof(text, log, witnesses, *quorum)
		}
		if err != nil {
			return fmt.Errorf("%s: %w", file, err)
		}
	}
	fmt.Printf("ok size=%d root=%s cosignatures=%d tiles=%d inclusions=%d consistencies=%d proofs=%d\n",
		l.head.size, l.head.root, l.head.witnesses, tileCount, inclusions, consistencies, len(proofFiles))
	return nil
}

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "daicho-verify:", err)
		os.Exit(1)
	}
}
