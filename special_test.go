package imapkit_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/emersion/go-imap/v2"

	"github.com/imapkit/imapkit"
	"github.com/imapkit/imapkit/internal/scripted"
)

func TestSpecialFoldersAreFoundByAttributeElseByName(t *testing.T) {
	tests := []struct {
		name string
		list []string
		use  imap.MailboxAttr
		want string
	}{
		{"attribute", []string{`(\Trash) "/" "Old things"`, `() "/" Trash`}, imap.MailboxAttrTrash, "Old things"},
		{"English", []string{`() "/" "Sent Items"`}, imap.MailboxAttrSent, "Sent Items"},
		{"German, below INBOX", []string{`() "." INBOX`, `() "." "INBOX.Gel&APY-schte Elemente"`}, imap.MailboxAttrTrash,
			"INBOX.Gelöschte Elemente"},
		{"Russian", []string{`() "/" "&BCcENQRABD0EPgQyBDgEOgQ4-"`}, imap.MailboxAttrDrafts, "Черновики"},
		{"the better name", []string{`() "/" Bin`, `() "/" trash`}, imap.MailboxAttrTrash, "trash"},
		{"not somebody's own", []string{`() "/" Projects/Trash`}, imap.MailboxAttrTrash, ""},
		{"not what cannot be opened", []string{`(\Noselect) "/" Trash`}, imap.MailboxAttrTrash, ""},
		{"no name for it", []string{`() "/" All`}, imap.MailboxAttrAll, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := scripted.Serve(t, scripted.Options{Handle: answers(map[string][]string{
				"LIST": {"* LIST " + strings.Join(tt.list, "\n* LIST ") + "\nOK done"}})})
			c := inClear(s)
			defer c.Close()
			got, err := c.SpecialFolder(limited(t), tt.use)
			if got.Name != tt.want || errors.Is(err, imapkit.ErrNoFolder) != (tt.want == "") {
				t.Errorf("got %q, %v, want %q", got.Name, err, tt.want)
			}
		})
	}
}

func TestSpecialFoldersInManyLanguages(t *testing.T) {
	uses := []imap.MailboxAttr{imap.MailboxAttrTrash, imap.MailboxAttrSent, imap.MailboxAttrDrafts, imap.MailboxAttrJunk,
		imap.MailboxAttrArchive}
	for language, names := range map[string][]string{
		"English":              {"Deleted Items", "Sent Items", "Drafts", "Junk E-mail", "Archive"},
		"German":               {"Gelöschte Elemente", "Gesendete Elemente", "Entwürfe", "Junk-E-Mail", "Archiv"},
		"French":               {"Éléments supprimés", "Éléments envoyés", "Brouillons", "Courrier indésirable", "Archives"},
		"Spanish":              {"Elementos eliminados", "Elementos enviados", "Borradores", "Correo no deseado", "Archivo"},
		"Italian":              {"Posta eliminata", "Posta inviata", "Bozze", "Posta indesiderata", "Archivio"},
		"Portuguese":           {"Lixeira", "Itens Enviados", "Rascunhos", "Lixo Eletrônico", "Arquivo"},
		"Dutch":                {"Verwijderde items", "Verzonden items", "Concepten", "Ongewenste e-mail", "Archief"},
		"Swedish":              {"Borttagna objekt", "Skickade objekt", "Utkast", "Skräppost", "Arkiv"},
		"Danish":               {"Slettet post", "Sendt post", "Kladder", "Uønsket e-mail", "Arkiv"},
		"Norwegian":            {"Slettede elementer", "Sendte elementer", "Utkast", "Søppelpost", "Arkiv"},
		"Finnish":              {"Poistetut", "Lähetetyt", "Luonnokset", "Roskaposti", "Arkisto"},
		"Polish":               {"Elementy usunięte", "Elementy wysłane", "Wersje robocze", "Wiadomości-śmieci", "Archiwum"},
		"Czech":                {"Odstraněná pošta", "Odeslaná pošta", "Koncepty", "Nevyžádaná pošta", "Archiv"},
		"Slovak":               {"Odstránená pošta", "Odoslaná pošta", "Rozpísané", "Nevyžiadaná pošta", "Archív"},
		"Hungarian":            {"Törölt elemek", "Elküldött elemek", "Piszkozatok", "Levélszemét", "Archívum"},
		"Romanian":             {"Coș de gunoi", "Trimise", "Ciorne", "Spam", "Arhivă"},
		"Russian":              {"Удаленные", "Отправленные", "Черновики", "Нежелательная почта", "Архив"},
		"Ukrainian":            {"Видалені", "Надіслані", "Чернетки", "Небажана пошта", "Архів"},
		"Greek":                {"Διαγραμμένα", "Απεσταλμένα", "Πρόχειρα", "Ανεπιθύμητα", "Αρχείο"},
		"Turkish":              {"SİLİNMİŞ ÖĞELER", "Gönderilmiş Öğeler", "Taslaklar", "İstenmeyen e-posta", "Arşiv"},
		"Japanese":             {"ゴミ箱", "送信済みアイテム", "下書き", "迷惑メール", "アーカイブ"},
		"Chinese, simplified":  {"已删除邮件", "已发送邮件", "草稿箱", "垃圾邮件", "归档"},
		"Chinese, traditional": {"刪除的郵件", "寄件備份", "草稿", "垃圾郵件", "封存"},
		"Korean":               {"휴지통", "보낸 편지함", "임시보관함", "스팸메일함", "보관함"},
		"German, decomposed":   {"Gelo\u0308schte Elemente", "Gesendet", "Entwu\u0308rfe", "Unerwu\u0308nscht", "Archiv"},
	} {
		t.Run(language, func(t *testing.T) {
			answer := ""
			for _, name := range slices.Backward(names) {
				answer += fmt.Sprintf("* LIST () \"/\" \"%s\"\n", name) // UTF-8 in quotes, as some servers send it
			}
			s := scripted.Serve(t, scripted.Options{Handle: answers(map[string][]string{"LIST": {answer + "OK done"}})})
			c := inClear(s)
			defer c.Close()
			for i, use := range uses {
				if f, err := c.SpecialFolder(limited(t), use); err != nil || f.Name != names[i] {
					t.Errorf("%s: got %q, %v, want %q", use, f.Name, err, names[i])
				}
			}
		})
	}
}

func TestTrashMovesToTheTrashFolder(t *testing.T) {
	const bin, other = `* LIST (\Trash) "/" Bin` + "\nOK done", `* LIST (\Trash) "/" Other` + "\nOK done"
	const list, toBin, toOther = `LIST "" "*"`, `UID MOVE 101 "Bin"`, `UID MOVE 101 "Other"`
	one := []imap.UID{101}
	tests := []struct {
		name    string
		answers map[string][]string
		between func(*imapkit.Client) error // two calls
		want    []string
		err     string // of the second call
	}{
		{"remembered", map[string][]string{"LIST": {bin}}, nil, []string{list, toBin, toBin}, ""},
		{"gone, another there", map[string][]string{"LIST": {bin, other}, "UID MOVE": {"OK done", "NO [TRYCREATE] no", "OK done"}},
			nil, []string{list, toBin, toBin, list, toOther}, ""},
		{"gone, none there", map[string][]string{"LIST": {bin, "OK done"}, "UID MOVE": {"OK done", "NO [TRYCREATE] no"}},
			nil, []string{list, toBin, toBin, list}, "no folder for this use"},
		{"refused, for another reason", map[string][]string{"LIST": {bin}, "UID MOVE": {"OK done", "NO [OVERQUOTA] full"}},
			nil, []string{list, toBin, toBin, list}, "OVERQUOTA"},
		{"cut", map[string][]string{"LIST": {bin}, "UID MOVE": {"OK done", "cut"}},
			nil, []string{list, toBin, toBin}, "outcome is unknown"},
		{"renamed by ourselves", map[string][]string{"LIST": {bin, other}},
			func(c *imapkit.Client) error { return c.RenameFolder(limited(t), "Bin", "Other") },
			[]string{list, toBin, `RENAME "Bin" "Other"`, list, toOther}, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := scripted.Serve(t, scripted.Options{Caps: "IMAP4rev1 MOVE", Exists: 3, Handle: answers(tt.answers)})
			c := inClear(s)
			defer c.Close()
			f := c.Folder("INBOX")
			if _, err := f.Trash(limited(t), one); err != nil {
				t.Fatal(err)
			}
			if tt.between != nil {
				if err := tt.between(c); err != nil {
					t.Fatal(err)
				}
			}
			_, err := f.Trash(limited(t), one)
			if (err == nil) != (tt.err == "") || err != nil && !strings.Contains(err.Error(), tt.err) {
				t.Errorf("error %v, want %q", err, tt.err)
			}
			checkCommands(t, s, tt.want...)
		})
	}
}

func TestWhatTrashCannotDo(t *testing.T) {
	s := scripted.Serve(t, scripted.Options{Exists: 3, Handle: answers(map[string][]string{
		"LIST": {"* LIST () \"/\" Bin\nOK done"}})})
	c := inClear(s)
	defer c.Close()
	for range 2 { // asking, and remembering
		if _, err := c.Folder("Bin").Trash(limited(t), []imap.UID{101}); err == nil {
			t.Error("moved from the trash folder to itself")
		}
	}
	checkCommands(t, s, `LIST "" "*"`)
	c2 := &imapkit.Client{Host: "192.0.2.1", Username: "user", ReadOnly: true}
	if _, err := c2.Folder("INBOX").Trash(limited(t), nil); !errors.Is(err, imapkit.ErrReadOnly) {
		t.Errorf("read-only: %v", err)
	}
}

func TestSpecialFoldersAreMadeWhereTheServerCan(t *testing.T) {
	s := scripted.Serve(t, scripted.Options{Caps: "IMAP4rev1 CREATE-SPECIAL-USE"})
	c := inClear(s)
	defer c.Close()
	if err := c.CreateSpecialFolder(limited(t), "Bin", imap.MailboxAttrTrash); err != nil {
		t.Error(err)
	}
	if err := c.CreateSpecialFolder(limited(t), "Bin", `\Trash)`); err == nil {
		t.Error("a made-up use was sent")
	}
	checkCommands(t, s, `CREATE "Bin" (USE (\Trash))`)
	plain := scripted.Serve(t, scripted.Options{})
	c2 := inClear(plain)
	defer c2.Close()
	err := c2.CreateSpecialFolder(limited(t), "Bin", imap.MailboxAttrTrash)
	if !errors.Is(err, imapkit.ErrNotSupported) || !strings.Contains(err.Error(), "CREATE-SPECIAL-USE") {
		t.Errorf("error %v", err)
	}
}
