import { HttpService } from '@nestjs/axios';
import { Injectable } from '@nestjs/common';
import { firstValueFrom } from 'rxjs';

interface Invoice {
  readonly amount: number;
}

@Injectable()
export class ReportsService {
  constructor(private readonly http: HttpService) {}

  async total(): Promise<number> {
    const { data } = await firstValueFrom(this.http.get<Invoice[]>('/invoices'));
    return data.reduce((sum, { amount }) => sum + amount, 0);
  }
}
