import { HttpService } from '@nestjs/axios';
import { Test } from '@nestjs/testing';
import { of } from 'rxjs';
import { ReportsService } from './reports.service.js';

describe('ReportsService', () => {
  it('adds up the invoices', async () => {
    const http = { get: vi.fn(() => of({ data: [{ amount: 40 }, { amount: 2 }] })) };
    const module = await Test.createTestingModule({
      providers: [ReportsService, { provide: HttpService, useValue: http }],
    }).compile();

    expect(await module.get(ReportsService).total()).toBe(42);
    expect(http.get).toHaveBeenCalledWith('/invoices');
  });
});
