/* SPDX-License-Identifier: MIT */
#ifndef BROKER_AUDIT_IDS_H
#define BROKER_AUDIT_IDS_H

/*
 * The MESSAGE_ID of each kind of audit entry, for 'journalctl MESSAGE_ID=...' and the message catalog
 * (systemd/vfio-broker.catalog explains each kind). The IDs are never used for anything else.
 */
#define AUDIT_ID_GRANT		  "59a64f25a8394c6dabd4df5b9c620c89"
#define AUDIT_ID_BIND		  "e32474ce97354cf2a0d959fc6ad6290e"
#define AUDIT_ID_UNBIND		  "6bf8d8b9f76344bc9212bc7e69446937"
#define AUDIT_ID_DENIAL		  "42471ff46da6416bbf90f2ccd51026c7"
#define AUDIT_ID_RELEASE	  "ea73f6e834d749989c856c531e20b02c"
#define AUDIT_ID_REVOKE_PENDING	  "a8efe52ed37b4fcbacafb9eb9ac170c8"
#define AUDIT_ID_REVOKE		  "1deb4934cc3048648c9d16366fe35f27"
#define AUDIT_ID_QUARANTINE	  "782d324ab55e4796971af6bd87d7ca02"
#define AUDIT_ID_QUARANTINE_END	  "224891cc063d4e6b8ea869a2f29248ca"
#define AUDIT_ID_QUARANTINE_FORCE "a4e0e552567d46ce9284afa7f1003c72"
#define AUDIT_ID_POLICY		  "a3635be7511a4425ad762a2801ac825e"
#define AUDIT_ID_ADD		  "90d52c63db8648398f5c19ab51c02e31"
#define AUDIT_ID_REMOVE		  "66592b9c695e4185a9b3693619e91b0f"
#define AUDIT_ID_FAULT		  "c1c570e9bb6943ea9d7e823f626127a0"
#define AUDIT_ID_LOST		  "bdf857742c384da19a91cff49fb04f82"
#define AUDIT_ID_FRONT_LOST	  "0d6c5f4be1a84c7f9a52e7d3b8146f90"

#endif
