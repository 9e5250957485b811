package imapkit

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/emersion/go-imap/v2"
	"golang.org/x/text/unicode/norm"
)

// ErrNoFolder is returned when the account has no folder for a special use. A
// name that is no folder's is a [*ServerError] instead.
var ErrNoFolder = errors.New("imapkit: no folder for this use")

// specialNames are the names, as foldName makes them, that mail servers and
// programs give to folders for a special use: first those in English.
var specialNames = map[imap.MailboxAttr][]string{
	imap.MailboxAttrTrash: {
		"trash", "deleted items", "deleted messages", "deleted", "bin", "rubbish", "papierkorb",
		"gelöschte elemente", "gelöschte objekte", "gelöscht", "corbeille", "éléments supprimés",
		"messages supprimés", "papelera", "papelera de reciclaje", "elementos eliminados", "eliminados", "cestino",
		"posta eliminata", "elementi eliminati", "lixeira", "lixo", "itens excluídos", "itens eliminados",
		"prullenbak", "prullenmand", "verwijderde items", "verwijderd", "papperskorgen", "papperskorg",
		"borttagna objekt", "borttaget", "papirkurv", "slettet post", "slettede elementer", "slettede meldinger",
		"roskakori", "poistetut", "poistetut kohteet", "kosz", "elementy usunięte", "usunięte", "koš",
		"odstraněná pošta", "kôš", "odstránená pošta", "lomtár", "kuka", "törölt elemek", "coș de gunoi",
		"elemente șterse", "корзина", "удаленные", "удалённые", "кошик", "видалені", "κάδος απορριμμάτων",
		"διαγραμμένα", "çöp kutusu", "çöp", "silinmiş öğeler", "ごみ箱", "ゴミ箱", "削除済みアイテム", "已删除", "已删除邮件", "已删除的邮件",
		"已刪除的郵件", "刪除的郵件", "垃圾桶", "废纸篓", "휴지통", "지운 편지함", "지운편지함", "삭제된 항목",
	},
	imap.MailboxAttrSent: {
		"sent", "sent items", "sent messages", "sent mail", "gesendet", "gesendete elemente", "gesendete objekte",
		"envoyés", "éléments envoyés", "messages envoyés", "enviados", "elementos enviados", "correo enviado",
		"inviati", "posta inviata", "inviata", "itens enviados", "enviadas", "mensagens enviadas", "verzonden",
		"verzonden items", "verzonden berichten", "skickat", "skickade", "skickade objekt", "sendt", "sendt post",
		"sendte elementer", "sendte", "lähetetyt", "lähetetyt kohteet", "wysłane", "elementy wysłane", "odeslané",
		"odeslaná pošta", "odoslané", "odoslaná pošta", "elküldött", "elküldött elemek", "trimise",
		"elemente trimise", "отправленные", "надіслані", "απεσταλμένα", "gönderilmiş öğeler",
		"gönderilmiş postalar", "gönderilenler", "gönderilen", "送信済み", "送信済みアイテム", "送信済みメール", "已发送", "已发送邮件",
		"已发送的邮件", "寄件備份", "已傳送的郵件", "寄件夾", "보낸편지함", "보낸 편지함", "보낸메일함",
	},
	imap.MailboxAttrDrafts: {
		"drafts", "draft", "entwürfe", "brouillons", "borradores", "bozze", "rascunhos", "concepten", "utkast",
		"kladder", "kladde", "luonnokset", "szkice", "wersje robocze", "kopie robocze", "koncepty", "rozepsané",
		"rozpísané", "piszkozatok", "ciorne", "черновики", "чернетки", "πρόχειρα", "taslaklar", "taslak", "下書き",
		"草稿", "草稿箱", "草稿匣", "임시보관함", "임시 보관함",
	},
	imap.MailboxAttrJunk: {
		"junk", "spam", "junk e-mail", "junk email", "junk mail", "junk-e-mail", "bulk mail", "spamverdacht", "unerwünscht",
		"unerwünschte werbung", "courrier indésirable", "indésirables", "pourriel", "correo no deseado",
		"no deseado", "posta indesiderata", "lixo eletrônico", "lixo eletrónico", "lixo electrónico",
		"ongewenste e-mail", "ongewenst", "skräppost", "uønsket post", "uønsket e-mail", "uønsket e-post",
		"søppelpost", "roskaposti", "wiadomości-śmieci", "niechciane", "nevyžádaná pošta", "nevyžádané",
		"nevyžiadaná pošta", "levélszemét", "спам", "нежелательная почта", "небажана пошта", "ανεπιθύμητα",
		"gereksiz", "gereksiz e-posta", "önemsiz", "önemsiz e-posta", "istenmeyen", "istenmeyen e-posta", "迷惑メール",
		"垃圾邮件", "垃圾郵件", "垃圾郵件匣", "스팸메일함", "스팸", "정크 메일",
	},
	imap.MailboxAttrArchive: {
		"archive", "archives", "archived", "archiv", "archivio", "archivo", "arquivo", "archief", "archiwum",
		"архив", "архів", "arkiv", "arkisto", "archív", "archívum", "arhivă", "αρχείο", "arşiv", "归档", "封存",
		"アーカイブ", "보관함",
	},
	imap.MailboxAttrAll:     nil,
	imap.MailboxAttrFlagged: nil,
}

// foldName returns a name as it is compared with specialNames: composed, as not
// all programs write it (macOS), and in lower case; I with a dot, in Turkish,
// becomes an i.
func foldName(name string) string {
	return strings.ToLower(strings.ReplaceAll(norm.NFC.String(name), "İ", "i"))
}

// SpecialFolder returns the folder for a special use, such as
// [imap.MailboxAttrTrash] (RFC 6154). Where the server does not mark it, it is
// found by the names that servers and mail programs give it in many languages.
// It returns [ErrNoFolder] if there is none. The server is asked each time: what
// is a folder's use, and what it is called, may be changed by other programs.
func (c *Client) SpecialFolder(ctx context.Context, use imap.MailboxAttr) (FolderInfo, error) {
	names, known := specialNames[use]
	if !known {
		return FolderInfo{}, fmt.Errorf("imapkit: SpecialFolder: %q is no special use", string(use))
	}
	list, err := c.Folders(ctx, "")
	if err != nil {
		return FolderInfo{}, err
	}
	list = slices.DeleteFunc(list, func(f FolderInfo) bool { return !f.canBeOpened() })
	for _, f := range list {
		if slices.Contains(f.Attrs, use) {
			return f, nil
		}
	}
	best, at := len(names), 0
	for i, f := range list {
		if rank := slices.Index(names, foldName(ownName(f))); rank >= 0 && rank < best {
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
	if err := c.checkNames(name); err != nil {
		return err
	}
	if use == imap.MailboxAttrTrash {
		c.forgetTrash()
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
//
// Which folder that is, the Client remembers until the server refuses to move
// messages there, or the Client itself deletes or renames a folder.
func (f *Folder) Trash(ctx context.Context, uids []imap.UID) (UIDMap, error) {
	op := f.operation("Trash")
	op.changes = true
	if err := f.checkUIDs(op, uids); err != nil || len(uids) == 0 {
		return nil, err
	}
	name, remembered, err := f.client.trash(ctx)
	if err != nil {
		return nil, err
	}
	moved, err := f.moveToTrash(ctx, uids, name)
	refused := errors.As(err, new(*ServerError)) && !errors.As(err, new(partlyDone)) && !errors.Is(err, ErrUnknownOutcome)
	if !remembered || !refused || isThrottled(err) {
		return moved, err
	}
	f.client.forgetTrash()
	now, _, looking := f.client.trash(ctx)
	switch {
	case looking != nil:
		return moved, fmt.Errorf("%w (%w)", err, looking)
	case now == name:
		return moved, err
	}
	more, err := f.moveToTrash(ctx, uids, now)
	moved.add(more)
	return moved, err
}

func (f *Folder) moveToTrash(ctx context.Context, uids []imap.UID, name string) (UIDMap, error) {
	if name == f.name {
		return nil, fmt.Errorf("imapkit: %s is the trash folder itself", name)
	}
	return f.Move(ctx, uids, name)
}

// trash returns the name of the trash folder, and whether it is remembered.
func (c *Client) trash(ctx context.Context) (name string, remembered bool, err error) {
	if name := c.learnt().trash; name != "" {
		return name, true, nil
	}
	folder, err := c.SpecialFolder(ctx, imap.MailboxAttrTrash)
	if err != nil {
		return "", false, err
	}
	c.learn(func(m *memory) { m.trash = folder.Name })
	return folder.Name, false, nil
}

func (c *Client) forgetTrash() {
	c.learn(func(m *memory) { m.trash = "" })
}
