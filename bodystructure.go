package imapkit

import (
	"bytes"
	"math"
	"strings"

	"github.com/emersion/go-imap/v2"

	"github.com/imapkit/imapkit/internal/mimetree"
)

// bodyStructureOf makes the body structure of a message that the server's own
// could not be read of.
func bodyStructureOf(raw []byte, limits Limits) imap.BodyStructure {
	return structureOf(mimetree.Parse(raw, limits.withDefaults().Depth))
}

func structureOf(p *mimetree.Part) imap.BodyStructure {
	var disposition *imap.BodyStructureDisposition
	if p.Disposition != "" {
		disposition = &imap.BodyStructureDisposition{Value: p.Disposition}
		if p.Name != "" {
			disposition.Params = map[string]string{"filename": p.Name}
		}
	}
	major, minor, _ := strings.Cut(p.Type, "/")
	if p.Multipart() {
		m := &imap.BodyStructureMultiPart{Subtype: minor}
		for _, child := range p.Parts {
			m.Children = append(m.Children, structureOf(child))
		}
		m.Extended = &imap.BodyStructureMultiPartExt{Params: p.Params.Map(), Disposition: disposition}
		return m
	}
	single := &imap.BodyStructureSinglePart{
		Type: major, Subtype: minor, Params: p.Params.Map(), ID: p.ContentID, Encoding: p.Encoding,
		Size:     uint32(min(len(p.Body), math.MaxUint32)),
		Extended: &imap.BodyStructureSinglePartExt{Disposition: disposition},
	}
	if major == "text" {
		single.Text = &imap.BodyStructureText{NumLines: int64(bytes.Count(p.Body, []byte("\n")))}
	}
	return single
}
