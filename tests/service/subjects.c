/*
 * subjects.c
 *	  What the simulated mail is about.
 *
 * A `#` in a subject becomes a number. A subject is never empty and holds no
 * NUL: what a database cannot take is ordered as a fault.
 */
#include "subjects.h"

#include <string.h>

#include "digits.h"

static const char *const prefixes[8] = {"", "", "", "", "", "RE: ", "FW: ", "AW: "};

static const char *const subjects[64] = {"Invoice #",
										 "Your order # has been shipped",
										 "Meeting notes #",
										 "Weekly report, week #",
										 "Re-scheduled: planning round #",
										 "Ticket # was updated",
										 "Ticket # was closed",
										 "Password expires in # days",
										 "Rechnung Nr. # über Büromöbel",
										 "Grüße aus Köln (#)",
										 "Årsmøte # på Tromsø",
										 "Señal de alarma nº #",
										 "请确认订单 #",
										 "会議のお知らせ (#)",
										 "Счёт № #",
										 "Τιμολόγιο αρ. #",
										 "🎉 # new followers",
										 "Lunch? 🍕 table #",
										 "Offer # \"final\"",
										 "Path C:\\Temp\\export-#.csv",
										 "a < b && c > # ?",
										 "50% off + free shipping #",
										 "O'Reilly's catalogue #",
										 "Tab\tseparated # list",
										 "Quarterly figures Q# - draft",
										 "Contract # for signature",
										 "Travel request #",
										 "Expense claim #",
										 "Build # failed",
										 "Build # is back to normal",
										 "[jira] (OPS-#) Disk almost full",
										 "[github] Pull request #",
										 "Newsletter no. #",
										 "Webinar invitation #",
										 "Survey #: how did we do?",
										 "Delivery status notification #",
										 "Automatic reply: out of office #",
										 "Accepted: review #",
										 "Declined: review #",
										 "Canceled: review #",
										 "Urgent: payment # overdue",
										 "Statement of account #",
										 "Purchase order #",
										 "Quote request #",
										 "Change request #",
										 "Incident # resolved",
										 "Backup of server-# completed",
										 "Backup of server-# FAILED",
										 "Voicemail from +49 30 #",
										 "Fax # received",
										 "Scan #.pdf",
										 "Photo #",
										 "Application for job #",
										 "Interview on the #th",
										 "Holiday list #",
										 "Birthday no. #",
										 "Minutes of board meeting #",
										 "Budget # v2",
										 "Price list # valid from now",
										 "Subscription # renewed",
										 "Your verification code is #",
										 "Security alert #",
										 "New sign-in from device #",
										 "Mailbox # is almost full"};

/*
 * One subject, without a final NUL. One in a thousand is long.
 */
size_t
subject_write(char *out, uint64_t draw)
{
	const char *prefix = prefixes[draw >> 6 & 7];
	const char *subject = subjects[draw & 63];
	const char *hole = strchr(subject, '#');
	size_t length = strlen(prefix);

	memcpy(out, prefix, length);
	memcpy(out + length, subject, (size_t) (hole - subject));
	length += (size_t) (hole - subject);
	length += digits_write(out + length, (draw >> 32) % 100000);
	subject = hole + 1;
	memcpy(out + length, subject, strlen(subject));
	length += strlen(subject);
	if ((draw >> 16 & 1023) == 0)
	{
		memset(out + length, 'o', 200);
		length += 200;
		out[length - 1] = '!';
	}
	return length;
}
