/** A table in a result of the REST API. */
export interface RestTable {
  readonly IsAggregate: false;
  readonly Count: number;
  readonly Columns: readonly unknown[];
  readonly FullCount: number;
  readonly Results: readonly { readonly Entities: readonly unknown[]; readonly Row: RestRow }[];
  readonly ReturnID: '';
}

export type RestRow = Readonly<Record<string, string | null>>;

/** @param fullCount Number of all rows; `rows` may be one page of them. */
export function restTable(
  columns: readonly string[],
  rows: readonly RestRow[],
  { entityType, fullCount }: { readonly entityType: string; readonly fullCount: number },
): RestTable {
  return {
    IsAggregate: false,
    Count: rows.length,
    Columns: columns.map(column),
    FullCount: fullCount,
    Results: rows.map((row) => ({ Entities: [{ Type: entityType, Key: '??', IsForeignKey: false }], Row: row })),
    ReturnID: '',
  };
}

function column(name: string) {
  return {
    Name: name,
    IsHidden: false,
    DDName: null,
    Title: name,
    DDTitle: null,
    Description: null,
    // The vendor's number for text, the type of every column here.
    Type: 12,
    Format: null,
    Width: 0,
    TableKey: null,
    ForeignKey: null,
    TableName: null,
  };
}
