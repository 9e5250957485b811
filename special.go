package imapkit

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/emersion/go-imap/v2"
)

// ErrNoFolder is returned when the account has no folder for a special use.
var ErrNoFolder = errors.New("imapkit: no such folder")

// specialNames are the names, in lower case, that mail servers and programs give
// to folders for a special use. The first language is English.
var specialNames = map[imap.MailboxAttr][]string{
	imap.MailboxAttrTrash: {"trash", "deleted items", "deleted messages", "deleted", "bin", "papierkorb", "gelöschte elemente",
		"gelöschte objekte", "gelöscht", "corbeille", "éléments supprimés", "messages supprimés", "papelera",
		"elementos eliminados", "cestino", "posta eliminata", "lixeira", "itens excluídos", "prullenbak",
		"verwijderde items", "kosz", "elementy usunięte", "корзина", "удаленные", "удалённые", "papperskorgen",
		"borttagna objekt", "papirkurv", "slettet post", "roskakori", "koš", "odstraněná pošta", "lomtár", "çöp kutusu",
		"silinmiş öğeler", "已删除", "已删除邮件", "已刪除的郵件", "垃圾桶", "ごみ箱", "削除済みアイテム", "휴지통", "지운 편지함"},
	imap.MailboxAttrSent: {"sent", "sent items", "sent messages", "sent mail", "gesendet", "gesendete elemente",
		"gesendete objekte", "envoyés", "éléments envoyés", "messages envoyés", "enviados", "elementos enviados",
		"inviati", "posta inviata", "itens enviados", "verzonden", "verzonden items", "wysłane", "elementy wysłane",
		"отправленные", "skickat", "skickade objekt", "sendt", "sendt post", "lähetetyt", "odeslané", "odeslaná pošta",
		"elküldött", "gönderilmiş öğeler", "gönderilmiş postalar", "已发送", "已发送邮件", "寄件備份", "送信済み",
		"送信済みアイテム", "보낸편지함", "보낸 편지함"},
	imap.MailboxAttrDrafts: {"drafts", "draft", "entwürfe", "brouillons", "borradores", "bozze", "rascunhos", "concepten",
		"szkice", "wersje robocze", "kopie robocze", "черновики", "utkast", "kladder", "luonnokset", "koncepty",
		"rozepsané", "piszkozatok", "taslaklar", "草稿", "草稿箱", "下書き", "임시보관함"},
	imap.MailboxAttrJunk: {"junk", "spam", "junk e-mail", "junk email", "junk mail", "bulk mail", "spamverdacht",
		"unerwünscht", "junk-e-mail", "courrier indésirable", "pourriel", "correo no deseado", "no deseado",
		"posta indesiderata", "lixo eletrônico", "ongewenste e-mail", "wiadomości-śmieci", "спам", "skräppost",
		"uønsket post", "roskaposti", "nevyžádaná pošta", "nevyžádané", "levélszemét", "gereksiz", "önemsiz",
		"垃圾邮件", "垃圾郵件", "迷惑メール", "스팸메일함", "스팸"},
	imap.MailboxAttrArchive: {"archive", "archives", "archiv", "archivio", "archivo", "arquivo", "archief", "archiwum", "архив",
		"arkiv", "arkisto", "archív", "arşiv", "归档", "封存", "アーカイブ", "보관함"},
	imap.MailboxAttrAll:     nil,
	imap.MailboxAttrFlagged: nil,
}

// SpecialFolder returns the folder for a special use, such as
// [imap.MailboxAttrTrash] (RFC 6154). Where the server does not mark it, it is
// found by the names that servers and mail programs give it in many languages.
// It returns [ErrNoFolder] if there is none.
func (c *Client) SpecialFolder(ctx context.Context, use imap.MailboxAttr) (FolderInfo, error) {
	names, known := specialNames[use]
	if !known {
		return FolderInfo{}, fmt.Errorf("imapkit: SpecialFolder: %q is no special use", string(use))
	}
	list, err := c.Folders(ctx, "")
	if err != nil {
		return FolderInfo{}, err
	}
	list = slices.DeleteFunc(list, func(f FolderInfo) bool {
		return slices.Contains(f.Attrs, imap.MailboxAttrNoSelect) || slices.Contains(f.Attrs, imap.MailboxAttrNonExistent)
	})
	for _, f := range list {
		if slices.Contains(f.Attrs, use) {
			return f, nil
		}
	}
	best, at := len(names), 0
	for i, f := range list {
		if rank := slices.Index(names, strings.ToLower(ownName(f))); rank >= 0 && rank < best {
			best, at = rank, i
		}
	}
	if best < len(names) {
		return list[at], nil
	}
	return FolderInfo{}, fmt.Errorf("%w: none for %s", ErrNoFolder, use)
}

// ownName returns the name of a folder at the top or right below INBOX, where
// some servers keep all folders (Courier, Cyrus), and "" for others.
func ownName(f FolderInfo) string {
	if f.Delim == 0 {
		return f.Name
	}
	delim := string(f.Delim)
	name := f.Name
	if root, below, ok := strings.Cut(name, delim); ok && strings.EqualFold(root, "INBOX") {
		name = below
	}
	if strings.Contains(name, delim) {
		return ""
	}
	return name
}

// CreateSpecialFolder makes a folder for a special use (RFC 6154 section 3). It
// returns [ErrNotSupported] without CREATE-SPECIAL-USE.
func (c *Client) CreateSpecialFolder(ctx context.Context, name string, use imap.MailboxAttr) error {
	if _, known := specialNames[use]; !known {
		return fmt.Errorf("imapkit: CreateSpecialFolder: %q is no special use", string(use))
	}
	if name == "" {
		return errors.New("imapkit: the folder name is empty")
	}
	return c.do(ctx, operation{what: "CREATE " + name, changes: true}, func(s *session) error {
		if err := s.need(imap.CapCreateSpecialUse); err != nil {
			return err
		}
		return s.change(s.Command("CREATE").Mailbox(name).Raw("(USE (" + string(use) + "))"))
	})
}

// Trash moves messages to the trash folder: see [Client.SpecialFolder] and
// [Folder.Move]. In the trash folder itself it is an error; use [Folder.Delete].
func (f *Folder) Trash(ctx context.Context, uids []imap.UID) (UIDMap, error) {
	if slices.Contains(uids, 0) {
		return nil, errors.New("imapkit: UID 0 does not exist")
	}
	if len(uids) == 0 {
		return nil, nil
	}
	if f.client.ReadOnly {
		return nil, fmt.Errorf("%w: Trash in %s", ErrReadOnly, f.name)
	}
	trash, err := f.client.SpecialFolder(ctx, imap.MailboxAttrTrash)
	if err != nil {
		return nil, err
	}
	if trash.Name == f.name {
		return nil, fmt.Errorf("imapkit: %s is the trash folder itself", f.name)
	}
	return f.Move(ctx, uids, trash.Name)
}
