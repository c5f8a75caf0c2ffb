import { type RestTable, restTable } from '../rest-api/rest-table.js';
import type { User } from './user.js';

const COLUMNS = [
  'Uuid',
  'DisplayName',
  'Description',
  'Mail',
  'Name',
  'OfficeNumber',
  'MobileNumber',
  'HomeNumber',
  'ReportsTo',
];

/** All users, as GetUsers tells of them. */
export function userList(users: Iterable<User>): RestTable {
  const rows = Array.from(users, (user) => ({
    Uuid: user.uuid,
    DisplayName: user.displayName,
    Description: user.description,
    Mail: user.mail,
    Name: user.name,
    OfficeNumber: user.officeNumber,
    MobileNumber: user.mobileNumber,
    HomeNumber: user.homeNumber,
    ReportsTo: user.reportsTo,
  }));
  return restTable(COLUMNS, rows, { entityType: 'CDUser', fullCount: rows.length });
}
